"""Whose turn it is to send a message in fragments (RFC 6455 section 5.4).

Law: what others send meanwhile is held in its order, and nobody waits for itself.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable

from dualws.protocol.outgoing import Outgoing


class Turn:
    """A message is under way in fragments: no other may come between (RFC 6455 section 5.4)."""

    __slots__ = ("held", "held_bytes", "next", "parting", "producer")

    def __init__(self) -> None:
        #: who produces it: :func:`running`
        self.producer = running()
        #: messages that were sent meanwhile, in their order
        self.held: deque[Outgoing] = deque()
        self.held_bytes = 0
        #: called when they may begin a message in fragments of their own, and who they are
        self.next: deque[tuple[Callable[[], object], object]] = deque()
        #: a close frame (or None) that is to follow what is held, and whether the peer's has come
        self.parting: tuple[bytes | None, bool] | None = None


def running() -> object:
    """What runs this code: an asyncio task, or else a thread or greenlet."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        try:
            task = asyncio.current_task()
        except RuntimeError:  # no loop runs in this thread
            task = None
        if task is not None:
            return task
    # Also where nothing is patched, and all greenlets have the identity of their thread.
    greenlet = sys.modules.get("greenlet")
    return threading.get_ident(), None if greenlet is None else id(greenlet.getcurrent())
