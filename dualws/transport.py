"""The part of a transport that is the same on every loop: a non-blocking socket and a buffer.

Law: ``write`` sends at once from whatever thread calls it; only what the operating
system does not take goes to the buffer, and only then the loop is asked to help. So
an answer to a message costs one ``send`` and nothing else. A backend derives from
:class:`SocketTransport` and tells how its loop watches a descriptor.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable

from dualws.contract import ConnectionOwner, Lock
from dualws.limits.counting import Account
from dualws.tcp import acknowledged, departure

#: Bytes that are taken from a peer at a time, and from one that has more than that: the most
#: before the others get a turn.
READ_SIZE = 64 * 1024
READ_SIZE_LARGE = 256 * 1024
#: Reads in a row that bring little before less is taken at a time again.
_SMALL_READS = 16
#: Bytes that the system collects of a large frame that comes in small pieces.
_PATCH = 16 * 1024
#: Buffered data is sent in pieces of this size, so that the buffer is not copied whole.
_WRITE_SIZE = 256 * 1024


class SocketTransport(ABC):
    """Implements :class:`dualws.contract.Transport` over a plain socket.

    :param sock: connected non-blocking socket (a native one, never a patched one); the
        transport owns it from now on
    :param owner: receives what arrives
    :param lock: a native mutex
    :param early: bytes that came together with the request
    """

    #: whether it waits for more than a byte; here, because few ever do
    _collecting = False

    def __init__(
        self, sock: socket.socket, owner: ConnectionOwner, lock: Lock, early: bytes
    ) -> None:
        self._sock = sock
        self._recv = sock.recv
        self._send = sock.send
        self._owner = owner
        self._lock = lock
        self._early = early
        self._buffer = bytearray()
        #: bytes that are received at a time, at most
        self.read_size = READ_SIZE
        #: how many reads in a row have brought little
        self._small_reads = 0
        self._paused = True
        self._eof = False
        self._closing = False
        self._discarding = False
        self._closed = False
        #: the peer turned out to be gone, which the loop has yet to hear
        self._failed = False
        #: counts what waits for the peers of all websockets; None counts nothing
        self.account: Account | None = None

    # -- what a backend provides -------------------------------------------------

    @abstractmethod
    def _call_soon(self, function: Callable[[], object]) -> None:
        """Run *function* in the loop's thread, soon and never before this returns."""

    @abstractmethod
    def _watch_reading(self, on: bool) -> None:
        """Call ``_on_readable`` whenever the socket is readable, or stop; in the loop's thread."""

    @abstractmethod
    def _watch_writing(self, on: bool) -> None:
        """Call ``_on_writable`` whenever the socket is writable, or stop; in the loop's thread."""

    # -- reading -----------------------------------------------------------------

    def pause_reading(self) -> None:
        if not self._paused:
            self._paused = True
            self._call_soon(self._update_reading)

    def resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            self._call_soon(self._update_reading)

    def _update_reading(self) -> None:
        if self._closed:
            return
        if self._early and not self._paused:
            early, self._early = self._early, b""
            self._owner.data_received(early)
        self._watch_reading(self._discarding or not (self._paused or self._eof or self._closed))

    def _on_readable(self) -> None:
        try:
            data = self._recv(self.read_size)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            failure = error
        else:
            if data:
                if len(data) >= READ_SIZE or self.read_size != READ_SIZE:
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

    def adapt(self, size: int) -> None:
        """Read more at a time from a peer that sends large messages, of which *size* has come."""
        if size >= READ_SIZE:
            self.read_size = READ_SIZE_LARGE
            self._small_reads = 0
        else:  # the end of a large message is small, too
            self._small_reads += 1
            if self._small_reads == _SMALL_READS:
                self.read_size = READ_SIZE

    def expect(self, missing: int) -> bool:
        """Be woken for :data:`_PATCH` bytes at a time while at least twice as many are missing.

        Being woken for each segment of a large frame takes longer than all the rest of it. The
        system tells at once when the peer has closed, or its own memory runs short.

        :param missing: what must come before it makes any difference
        :return: whether that is so now
        """
        collecting = missing >= 2 * _PATCH and sys.platform == "linux"
        if collecting is not self._collecting:
            self._collecting = collecting
            with contextlib.suppress(OSError):  # closed meanwhile
                self._sock.setsockopt(
                    socket.SOL_SOCKET, socket.SO_RCVLOWAT, _PATCH if collecting else 1
                )
        return collecting

    # -- writing -----------------------------------------------------------------

    @property
    def buffered(self) -> int:
        return len(self._buffer)

    def write(self, data: bytes | bytearray) -> int:
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
                sent = self._send(data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError as error:
                lost = error
                self._failed = True
                self._call_soon(lambda: self._lost(lost))
                return -1
            if sent == len(data):
                return 0
            self._buffer += memoryview(data)[sent:]
            buffered = len(self._buffer)
            if self.account is not None:
                self.account.add(buffered)
        self._call_soon(self._start_writing)
        return buffered

    def _start_writing(self) -> None:
        if self._buffer and not self._closed:
            self._watch_writing(True)

    def _on_writable(self) -> None:
        with self._lock:
            try:
                with memoryview(self._buffer) as view:
                    sent = self._send(view[:_WRITE_SIZE])
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                failure: OSError | None = error
            else:
                failure = None
                del self._buffer[:sent]
                if self.account is not None:
                    self.account.add(-sent)
            empty = not self._buffer
        if failure is not None:
            self._lost(failure)
        elif empty:
            self._watch_writing(False)
            if self._closing:
                self._shutdown()
            else:
                self._owner.drained()

    # -- the end -----------------------------------------------------------------

    def departure(self, silence: float) -> str:
        """Why the peer counts as gone though nothing is read (:func:`dualws.tcp.departure`)."""
        return "" if self._closed else departure(self._sock, silence)

    def taken(self) -> int:
        """Bytes that the peer has taken (:func:`dualws.tcp.acknowledged`)."""
        return -1 if self._closed else acknowledged(self._sock)

    def close(self) -> None:
        with self._lock:
            if self._closing or self._closed:
                return
            self._closing = True
            waiting = bool(self._buffer)
        if not waiting:
            self._call_soon(self._shutdown)

    def _shutdown(self) -> None:
        """Send FIN, then wait for the peer's: a socket that is closed with bytes unread sends
        RST, which takes our close frame away from the peer (RFC 6455 section 7.1.1)."""
        if self._closed:
            return
        if self._eof:
            self._lost(None)
            return
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        else:
            self._discarding = True
            self._watch_reading(True)
            return
        self._lost(None)

    def abort(self) -> None:
        self._call_soon(lambda: self._lost(None))

    def _lost(self, error: OSError | None) -> None:
        """Close the socket and tell the owner; in the loop's thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self.account is not None and self._buffer:
                self.account.add(-len(self._buffer))
            self._buffer.clear()
        self._watch_reading(False)
        self._watch_writing(False)
        self._sock.close()
        self._owner.connection_lost(error)
