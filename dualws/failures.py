"""What happens when a websocket's handler raises, in every style.

Law: nothing that a handler raises reaches the server: it is logged once, and the peer learns
a close code. Whose mistake it was decides which. ``sys.exit()``, or a ``gevent.Timeout`` that
nobody catches, is the end of one handler as well, and not of the server or of a thread.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dualws.errors import InvalidMessage, WebSocketClosed

if TYPE_CHECKING:
    from dualws.connection import Connection

logger = logging.getLogger("dualws.handler")


def failed(
    connection: Connection,
    error: BaseException,
    what: object,
    extra: Mapping[str, object] | None = None,
) -> None:
    """Log what the handler raised and close the websocket.

    A closed websocket is no failure, and neither is a greenlet that was killed: what is closed
    then is the caller's decision. A message that is not what the handler expects is the peer's
    mistake: 1007. Anything else is the handler's: 1011.

    :param what: tells in the log which handler it was
    :param extra: for the log record
    :raises KeyboardInterrupt: *error* is that: it is meant for the process
    """
    if isinstance(error, WebSocketClosed) or _is_kill(error):
        logger.debug("%s: %s", what, error)
        return
    if isinstance(error, InvalidMessage):
        logger.warning("%s: closed with 1007: %s", what, error)
        connection.close(1007, error.reason)
        return
    logger.error("websocket handler failed: %s", what, exc_info=error, extra=extra)
    if connection.server.on_handler_failed is not None:
        connection.server.on_handler_failed(error)
    connection.close(1011, "the handler failed")
    if isinstance(error, KeyboardInterrupt):
        raise error


def _is_kill(error: BaseException) -> bool:
    # The core knows of greenlets only where there are some.
    greenlet = sys.modules.get("greenlet")
    return greenlet is not None and isinstance(error, greenlet.GreenletExit)
