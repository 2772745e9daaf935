"""Reading a socket for its owner, and writing to it at once."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from dualws.contract import ConnectionOwner, Lock
from dualws.limits.counting import Account

#: Bytes that are taken from a peer at a time, and from one that has more than that: the most
#: before the others get a turn.
READ_SIZE = 64 * 1024
READ_SIZE_LARGE = 256 * 1024
#: Reads in a row that bring little before less is taken at a time again.
_SMALL_READS = 16


class Transport:
    """Base of :class:`dualws.transport.SocketTransport`."""

    _sock: socket.socket
    _owner: ConnectionOwner
    _lock: Lock
    #: bytes that came together with the request
    _early: bytes
    #: counts what waits for the peers of all websockets; None counts nothing
    account: Account | None
    #: called after each read; None for nothing
    _after_read: Callable[[], object] | None
    #: the socket's descriptor; -1 once it is closed
    descriptor: int
    #: what waits for the peer
    _buffer: bytearray
    #: bytes that are received at a time, at most
    read_size: int
    #: how many reads in a row have brought little
    _small_reads: int
    _paused: bool
    _eof: bool
    _closing: bool
    _discarding: bool
    _closed: bool
    #: the peer turned out to be gone, which the loop has yet to hear
    _failed: bool

    if TYPE_CHECKING:  # what the class that is made of this one has

        def _watch_reading(self, on: bool) -> None: ...
        def _call_soon(self, function: Callable[[], object]) -> None: ...
        def _start_writing(self) -> None: ...
        def _fails(self, error: OSError) -> None: ...
        def _lost(self, error: OSError | None) -> None: ...
        def _broken(self, error: Exception) -> None: ...

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """One whose reading pauses, without a socket."""
        self = super().__new__(cls)
        self._buffer = bytearray()
        self.read_size = READ_SIZE
        self._small_reads = 0
        self._paused = True
        self._eof = self._closing = self._discarding = self._closed = self._failed = False
        self._early = b""
        self.account = self._after_read = None
        self.descriptor = -1
        return self

    @property
    def buffered(self) -> int:
        """Bytes that wait for the peer."""
        return len(self._buffer)

    def _on_readable(self) -> None:
        """Receive once, and hand it over; what that raises ends this connection and no other."""
        try:
            self._read()
            if self._after_read is not None:
                self._after_read()
        except Exception as error:
            self._broken(error)

    def _read(self) -> None:
        if self._closed:
            return
        try:
            data = self._sock.recv(self.read_size)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            failure = error.with_traceback(None)  # that holds this frame, and this the error
        else:
            if data:
                if len(data) >= READ_SIZE or self.read_size != READ_SIZE:  # a call less, mostly
                    self.adapt(len(data))
                if not self._discarding:
                    self._owner.data_received(data)
            elif self._discarding:
                self._lost(None)
            else:
                self._eof = True
                self._watch_reading(False)
                self._owner.eof_received()
            return
        # Here, because a handler may go on inside this call, and its own exceptions would seem
        # to come from this one.
        self._lost(None if self._discarding else failure)

    def take_in(self) -> bool | None:
        """Receive once, and hand it over, in a thread that reads.

        :return: None when nothing had come, False at the peer's end
        :raises OSError: the connection is lost
        """
        try:
            data = self._sock.recv(self.read_size)
        except (BlockingIOError, InterruptedError):
            return None
        if not data:
            return False
        if len(data) >= READ_SIZE or self.read_size != READ_SIZE:
            self.adapt(len(data))
        if not self._discarding:
            self._owner.data_received(data)
        return True

    def adapt(self, size: int) -> None:
        """Read more at a time from a peer that sends large messages, of which *size* has come."""
        if size >= READ_SIZE:
            self.read_size = READ_SIZE_LARGE
            self._small_reads = 0
        elif self.read_size != READ_SIZE:  # the end of a large message is small, too
            self._small_reads += 1
            if self._small_reads == _SMALL_READS:
                self.read_size = READ_SIZE

    def write(self, data: bytes | bytearray) -> int:
        """As :meth:`dualws.contract.Transport.write`."""
        with self._lock:
            if self._failed:
                return -1
            if self._closed or self._closing:
                return 0
            if self._buffer:
                self._buffer += data
                if self.account is not None:
                    self.account.add(len(data))
                return len(self._buffer)
            try:
                sent = self._sock.send(data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError as error:
                self._failed = True
                self._fails(error)
                return -1
            if sent == len(data):
                return 0
            self._buffer += memoryview(data)[sent:]
            buffered = len(self._buffer)
            if self.account is not None:
                self.account.add(buffered)
        self._call_soon(self._start_writing)
        return buffered
