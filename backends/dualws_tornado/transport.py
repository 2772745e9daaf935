"""The bytes of one connection that has left HTTP, on an asyncio loop.

Law: the descriptor is watched for reading as long as the owner wants data, so that a
message costs one ``recv`` and one ``send`` and no change of the loop's interest set. While
it is lent the loop does not watch it: the thread that waits for a message reads it itself
(:mod:`dualws_tornado.reading`). The ``IOStream`` that carried the HTTP request has no part
in it any more.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from dualws import contract
from dualws.contract import ConnectionOwner
from dualws.transport import SocketTransport
from dualws_tornado.reading import ReadingWaiter
from dualws_tornado.runtime import Runtime, Timer

log = logging.getLogger("dualws.server")

#: Seconds that a refused peer has to read the answer.
LINGER = 2.0


class Transport(SocketTransport):
    """Implements :class:`dualws.contract.Transport`; begins in the loop's thread.

    :param runtime: the server's runtime
    :param sock: connected non-blocking socket; owned from now on
    :param owner: receives what arrives
    :param early: bytes that came together with the request; None: :meth:`begin` tells
    :param ended: called in the loop's thread when the connection is over
    """

    def __init__(
        self,
        runtime: Runtime,
        sock: socket.socket,
        owner: ConnectionOwner,
        early: bytes | None = b"",
        ended: Callable[[Transport], object] | None = None,
    ) -> None:
        super().__init__(sock, owner, runtime.lock(), early or b"")
        self._loop: asyncio.AbstractEventLoop = runtime.loop
        self._runtime = runtime
        self.lenders = runtime.lent
        #: how often the handler's thread has stopped reading, and as of the last look
        self.turn = self.seen = 0
        self._lent = False
        #: why the connection is lost, once that waits for the thread that reads
        self._parting: tuple[OSError | None] | None = None
        self._waiter: ReadingWaiter | None = None
        self._reading = False
        #: it is or will be watched for reading, which nobody has resumed
        self._ahead = early is None
        self._writing = False
        self._ended = ended

    def _call_soon(self, function: Callable[[], object]) -> None:
        self._runtime.call_soon(function)

    # -- reading, by the loop or by the handler's thread ---------------------------

    def waiter(self) -> ReadingWaiter:
        """A waiter for code that waits for what this transport brings."""
        self._waiter = ReadingWaiter(self, self._lock)
        self._after_read = self._lend
        return self._waiter

    @property
    def lent(self) -> bool:
        """Whether the handler's thread may read now; with the mutex held."""
        return self._lent and not (self._paused or self._closing or self._closed)

    @property
    def is_read(self) -> bool:
        """Whether the handler's thread reads right now."""
        return self._waiter is not None and self._waiter.reading

    def _lend(self) -> None:
        """The handler's thread was woken by what the loop read: let it read the rest itself."""
        waiter = self._waiter
        if waiter is None or self._lent or not self._reading:
            return
        with self._lock:
            # A thread that sleeps already would not notice that it is to read.
            if waiter.parked or self._paused or self._closing or self._closed:
                return
            self._lent = True
            self.lenders.sockets.add(self)
        self._watch_reading(False)
        self.turn += 1
        if not self.lenders.looking:
            self.lenders.look()

    def take_back(self) -> None:
        """Let the loop read; in the loop's thread."""
        with self._lock:
            if not self._lent:
                return
            if self._waiter is not None and self._waiter.reading:
                self._waiter.ring()  # its thread hands it back
                return
            self._lent = False
            self.lenders.sockets.discard(self)
        self._update_reading()

    def hand_back(self, error: OSError | None) -> None:
        """The handler's thread reads no more: let the loop read; from that thread.

        :param error: what the thread met while it read
        """
        with self._lock:
            self._lent = False
            self.lenders.sockets.discard(self)
            parting = self._parting or (None if error is None else (error,))
        if parting is None:
            self._call_soon(self._update_reading)
        else:
            self._call_soon(lambda: self._lost(*parting))

    def pause_reading(self) -> None:
        if self._lent:
            self._paused = True
        else:
            super().pause_reading()

    def resume_reading(self) -> None:
        with self._lock:
            watched, self._ahead = self._ahead, False
            if self._lent or watched:
                self._paused = False
                return
        super().resume_reading()

    def begin(self, early: bytes) -> None:
        """Watch the socket, also while reading is still paused; in the loop's thread, which watches
        it for what had it before.

        What comes too soon ends that. Else the loop need not be woken to begin.
        """
        self._early = early
        with self._lock:
            self._ahead = self._ahead and not early
        if early:  # comes first, however much waits in the socket
            self._loop.remove_reader(self.descriptor)
            self._update_reading()
        else:
            self._reading = True
            self._watch(self._loop.add_reader, self._on_first)

    def _on_first(self) -> None:
        with self._lock:
            self._ahead = False
            too_soon = self._paused and not self._discarding
        if too_soon:
            self._watch_reading(False)
            return
        self._watch(self._loop.add_reader, self._on_readable)
        self._on_readable()

    def _watch_reading(self, on: bool) -> None:
        if on and self._lent and not self._closed:
            self.take_back()
            return
        if on != self._reading:
            self._reading = on
            if on:
                self._watch(self._loop.add_reader, self._on_readable)
            else:
                self._loop.remove_reader(self.descriptor)

    def _watch_writing(self, on: bool) -> None:
        if on != self._writing:
            self._writing = on
            if on:
                self._watch(self._loop.add_writer, self._on_writable)
            else:
                self._loop.remove_writer(self.descriptor)

    def _watch(self, add: Callable[..., object], ready: Callable[[], object]) -> None:
        try:
            add(self.descriptor, ready)
        except RuntimeError:
            # uvloop has met an error of the socket (the peer has reset it), and watches it no more.
            self._call_soon(lambda: self._lost(None))

    def lose(self, error: OSError) -> None:
        """The peer had gone before :meth:`begin`; in the loop's thread."""
        self._lost(error)

    def _lost(self, error: OSError | None) -> None:
        with self._lock:
            if self._waiter is not None and self._waiter.reading:
                # Its thread may be about to receive by a descriptor that, once it is closed, is
                # another connection's. It comes back here when it has handed the socket back.
                self._failed = True
                self._parting = (error,)
                self._waiter.ring()
                return
            self.lenders.sockets.discard(self)
        super()._lost(error)
        self._waiter = self._after_read = None
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(self)


class Refusal:
    """The owner of a connection that gets one last answer and is then closed.

    Closing at once, with bytes of the peer unread, would send RST, and RST takes the
    answer away from the peer.
    """

    def __init__(self) -> None:
        self._timer: Timer | None = None

    def begin(self, runtime: Runtime, transport: contract.Transport, answer: bytes) -> None:
        """Send *answer*; the peer has :data:`LINGER` seconds to read it and to close."""
        transport.write(answer)
        transport.close()
        self._timer = runtime.call_later(LINGER, transport.abort)

    def data_received(self, data: bytes) -> None:
        """The peer still sends: dropped."""

    def eof_received(self) -> None:
        """The peer has closed."""

    def drained(self) -> None:
        """The answer is out."""

    def connection_lost(self, error: OSError | None) -> None:
        """It is over."""
        if self._timer is not None:
            self._timer.cancel()
