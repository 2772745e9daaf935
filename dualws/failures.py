"""What happens when a websocket's handler raises, in every style.

Law: nothing that a handler raises reaches the server: it is logged once, and the peer learns
a close code. Whose mistake it was decides which.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dualws.errors import InvalidMessage, WebSocketClosed

if TYPE_CHECKING:
    from dualws.connection import Connection

logger = logging.getLogger("dualws.handler")


def failed(
    connection: Connection,
    error: Exception,
    what: object,
    extra: Mapping[str, object] | None = None,
) -> None:
    """Log what the handler raised and close the websocket.

    A closed websocket is no failure. A message that is not what the handler expects is the
    peer's mistake: 1007. Anything else is the handler's: 1011.

    :param what: tells in the log which handler it was
    :param extra: for the log record
    """
    if isinstance(error, WebSocketClosed):
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
