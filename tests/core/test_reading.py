"""How much a transport takes from its socket at a time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from dualws.hot.pure.transport import READ_SIZE, READ_SIZE_LARGE
from dualws.transport import SocketTransport


class Owner:
    def __init__(self) -> None:
        self.sizes: list[int] = []

    def data_received(self, data: bytes) -> None:
        self.sizes.append(len(data))

    def connection_lost(self, error: OSError | None) -> None:
        """Nobody asks how it ends."""


class Transport(SocketTransport):
    """On a socket that has what the test says, whenever it is asked."""

    def __init__(self) -> None:
        sock, self.peer = socket.socketpair()
        for end in (sock, self.peer):
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * READ_SIZE_LARGE)
        self.owner = Owner()
        super().__init__(sock, self.owner, threading.Lock(), b"")

    def read(self, *sizes: int) -> list[int]:
        """How much it asks for, each time that the peer has sent so much."""
        asked = []
        for size in sizes:
            asked.append(self.read_size)
            assert self.peer.send(bytes(size)) == size
            self.owner.sizes.clear()
            self._on_readable()
            assert self.owner.sizes == [min(size, asked[-1])]
            while self.owner.sizes[0] < size:  # the rest is not what is looked at
                size -= len(self._sock.recv(size))
        return asked

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
    transport.peer.close()
    transport.abort()


def test_no_more_is_taken_than_is_asked_for() -> None:
    transport = Transport()
    assert transport.read(READ_SIZE + 1) == [READ_SIZE]
    transport.peer.close()
    transport.abort()
