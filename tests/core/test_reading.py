"""How much a transport takes from its socket at a time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

from dualws.transport import READ_SIZE, READ_SIZE_LARGE, SocketTransport


class Owner:
    def data_received(self, data: bytes) -> None:
        """Nobody asks what comes."""

    def connection_lost(self, error: OSError | None) -> None:
        """Nor how it ends."""


class Transport(SocketTransport):
    """On a socket that has what the test says, whenever it is asked."""

    def __init__(self) -> None:
        super().__init__(socket.socket(), Owner(), threading.Lock(), b"")
        self.asked: list[int] = []
        self.has: list[int] = []
        self._recv: Any = self.give

    def give(self, size: int) -> bytes:
        self.asked.append(size)
        return bytes(min(size, self.has.pop(0)))

    def read(self, *sizes: int) -> list[int]:
        self.has = list(sizes)
        self.asked.clear()
        while self.has:
            self._on_readable()
        return self.asked

    def _call_soon(self, function: Callable[[], object]) -> None:
        function()

    def _watch_reading(self, on: bool) -> None:
        """The test says when there is something."""

    def _watch_writing(self, on: bool) -> None:
        """Nothing is written."""


def test_a_peer_of_large_messages_is_asked_for_more_than_their_ends_are_long() -> None:
    transport = Transport()
    assert transport.read(100, READ_SIZE, 14) == [READ_SIZE, READ_SIZE, READ_SIZE_LARGE]
    # So the next message comes by one read, and those behind it.
    assert transport.read(READ_SIZE + 14, 14, READ_SIZE + 14) == [READ_SIZE_LARGE] * 3
    assert transport.read(*[1000] * 17) == [READ_SIZE_LARGE] * 16 + [READ_SIZE]
    transport.abort()
