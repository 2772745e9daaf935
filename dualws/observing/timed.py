"""Connections whose handlers are timed: used only where figures are asked for.

Law: a message costs two looks at the clock and an entry in a list of buckets, and only here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from dualws.connection import Connection
from dualws.protocol.stream import Pong
from dualws.sentinels import ENDED, WAIT, Sentinel

if TYPE_CHECKING:
    from dualws.contract import Server
    from dualws.protocol.deflate import Deflate
    from dualws.protocol.stream import Stream


class TimedConnection(Connection):
    """Notes how long a handler has a message before it asks for the next."""

    __slots__ = ("_had_at",)

    def __init__(self, server: Server, stream: Stream, deflate: Deflate | None = None) -> None:
        super().__init__(server, stream, deflate)
        self._had_at = 0.0

    def take(self, ready: Callable[[], object] | None) -> str | bytes | Pong | Sentinel:
        """As :meth:`dualws.connection.Connection.take`."""
        if self._had_at:
            self._handled()
        message = super().take(ready)
        if message is not WAIT and message is not ENDED:
            self._had_at = time.monotonic()
        return message

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        """As :meth:`dualws.connection.Connection.receive`."""
        if self._had_at:
            self._handled()
        message = super().receive(timeout)
        if message is not None:
            self._had_at = time.monotonic()
        return message

    def _handled(self) -> None:
        seconds = time.monotonic() - self._had_at
        self._had_at = 0.0
        if self.server.seeing is not None:
            self.server.seeing.handled(seconds)
