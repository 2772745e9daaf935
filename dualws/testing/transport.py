"""The bytes between a websocket under test and its client, in memory.

Law: both ends are what they are on a server, the core with its frames on one side and a client
with its own on the other; between them bytes move in the loop's thread, in order. What the
client has not read counts as buffered past :data:`WINDOW`, as past a socket's own buffers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from dualws.contract import ConnectionOwner
from dualws.testing.loop import loop

if TYPE_CHECKING:
    from dualws.testing.runtime import Runtime

#: Bytes that are on their way without counting as buffered.
WINDOW = 1024 * 1024


class Peer(Protocol):
    """The client's end; called in the loop's thread."""

    def data_received(self, data: bytes) -> None:
        """The server sent *data*."""

    def connection_lost(self) -> None:
        """The server sends no more."""


class MemoryTransport:
    """Implements :class:`dualws.contract.Transport`.

    :param owner: the server's end
    :param peer: the client's end
    :param runtime: the websocket's
    :param on_lost: called once the owner knows of the end
    """

    def __init__(
        self, owner: ConnectionOwner, peer: Peer, runtime: Runtime, on_lost: Callable[[], object]
    ) -> None:
        self._owner = owner
        self._peer = peer
        self._on_lost = on_lost
        self._lock = threading.Lock()
        self._changed = runtime.changed
        self._arriving: list[bytes] = []
        self._leaving: list[bytes] = []
        self._unread = 0
        self._paused = True
        self._delivering = False
        self._waited = False
        self._closing = False
        self._closed = False

    # -- the contract ----------------------------------------------------------------

    @property
    def buffered(self) -> int:
        """Bytes that wait for the client."""
        return max(0, self._unread - WINDOW)

    def write(self, data: bytes | bytearray) -> int:
        """Send *data* to the client; how many bytes wait for it then."""
        with self._lock:
            if self._closing or self._closed:
                return 0
            self._unread += len(data)
            self._waited = self._unread > WINDOW
            self._leaving.append(bytes(data))
        loop.call_soon(self._deliver)
        return self.buffered

    def pause_reading(self) -> None:
        """Keep what the client sends."""
        self._paused = True

    def resume_reading(self) -> None:
        """Hand on what the client sent."""
        self._paused = False
        loop.call_soon(self._hand_on)

    def close(self) -> None:
        """End after what has been written."""
        with self._lock:
            self._closing = True
        loop.call_soon(lambda: self._lose(None))

    def abort(self) -> None:
        """End at once."""
        loop.call_soon(lambda: self._lose(None))

    # -- for the client ----------------------------------------------------------------

    @property
    def quiet(self) -> bool:
        """Whether nothing is on its way, to the client or to a server that wants it."""
        with self._lock:
            if self._delivering or self._leaving:
                return False
            return self._closed or self._paused or not self._arriving

    @property
    def delivered(self) -> bool:
        """Whether all that the server sent has come to the client."""
        with self._lock:
            return not self._leaving

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self._closed

    def send(self, data: bytes) -> None:
        """The client sends *data*."""
        with self._lock:
            if self._closed or self._closing:
                return
            self._arriving.append(data)
        loop.call_soon(self._hand_on)

    def consumed(self, size: int) -> None:
        """The client has read *size* bytes more."""
        with self._lock:
            self._unread -= size
            drained = self._waited and self._unread <= WINDOW
            if drained:
                self._waited = False
        if drained:
            loop.call_soon(self._drained)

    def lose(self, error: OSError) -> None:
        """The connection breaks, without a word from either side."""
        loop.call_soon(lambda: self._lose(error))

    # -- in the loop's thread ----------------------------------------------------------

    def _hand_on(self) -> None:
        while True:
            with self._lock:
                if self._paused or self._closed or not self._arriving:
                    break
                self._delivering = True
                data = self._arriving.pop(0)
            if not self._closing:
                self._owner.data_received(data)
        with self._changed:
            self._delivering = False
            self._changed.notify_all()

    def _deliver(self) -> None:
        while True:
            with self._lock:
                data = self._leaving[0] if self._leaving else None
            if data is None:
                break
            self._peer.data_received(data)
            with self._lock:
                del self._leaving[0]
        with self._changed:
            self._changed.notify_all()

    def _drained(self) -> None:
        if not self._closed:
            self._owner.drained()

    def _lose(self, error: OSError | None) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if self._closing and error is None:
            self._deliver()
        self._peer.connection_lost()
        try:
            self._owner.connection_lost(error)
        finally:
            self._on_lost()
