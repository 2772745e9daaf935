"""The part of a transport that is the same on every loop: a non-blocking socket and a buffer.

Law: ``write`` sends at once from whatever thread calls it; only what the operating
system does not take goes to the buffer, and only then the loop is asked to help. So
an answer to a message costs one ``send`` and nothing else. A backend derives from
:class:`SocketTransport` and tells how its loop watches a descriptor.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable

from dualws import hot
from dualws.contract import ConnectionOwner, Lock
from dualws.tcp import acknowledged, departure

logger = logging.getLogger("dualws.server")

#: Bytes that the system collects of a large frame that comes in small pieces.
_PATCH = 16 * 1024
#: Buffered data is sent in pieces of this size, so that the buffer is not copied whole.
_WRITE_SIZE = 256 * 1024


class _Nobody:
    """The owner of a transport that is closed."""

    def data_received(self, data: bytes) -> None:
        """Nothing comes any more."""

    def eof_received(self) -> None:
        """It has ended already."""

    def drained(self) -> None:
        """Nothing is sent any more."""

    def connection_lost(self, error: OSError | None) -> None:
        """It is lost already."""


NOBODY = _Nobody()


class SocketTransport(hot.Transport, ABC):
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
        self.descriptor = sock.fileno()
        self._owner = owner
        self._lock = lock
        self._early = early

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

    def _broken(self, error: Exception) -> None:
        """The owner has raised, or what is called after a read has: drop the connection.

        Without this the loop would log it and call again, with the state half changed.
        """
        logger.error("A websocket's connection is dropped", exc_info=error)
        self._lost(None)

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

    def _fails(self, error: OSError) -> None:
        """The peer turned out to be gone; from any thread, with the lock held."""
        self._call_soon(lambda: self._lost(error))

    def _start_writing(self) -> None:
        if self._buffer and not self._closed:
            self._watch_writing(True)

    def _on_writable(self) -> None:
        with self._lock:
            try:
                with memoryview(self._buffer) as view:
                    sent = self._sock.send(view[:_WRITE_SIZE])
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                # A traceback holds this frame, and that the error.
                failure: OSError | None = error.with_traceback(None)
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
        self._after_read = None
        self.descriptor = -1  # another connection may have it from now on
        self._sock.close()
        # They would hold each other until the collector finds them.
        owner, self._owner = self._owner, NOBODY
        owner.connection_lost(error)
