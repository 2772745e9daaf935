"""Pings, pongs and silence: how each side of a connection knows that the other is there.

Law: a peer is given up for silence only, never for being slow to read; what it is sent to
find out is bounded, however many pings of its own it sends (RFC 6455 sections 5.5.2, 5.5.3).
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from dualws.protocol import frames
from dualws.protocol.deflate import Deflate
from dualws.sending import Sender

if TYPE_CHECKING:
    from dualws.contract import Server

#: Pings of one read that are answered each, the latest ones; of more, RFC 6455 section 5.5.3
#: asks for no more than one.
PINGS = 16
#: Pongs are not piled up for a peer that sends pings and reads nothing: it gets the latest.
_PONG_LIMIT = 64 * 1024


class Living(Sender):
    """What :class:`~dualws.connection.Connection` is to those who ask whether it lives.

    :param server: the server that it belongs to
    :param deflate: permessage-deflate, when that was negotiated
    """

    __slots__ = ("_collecting", "_pongs", "_silent_ticks")

    def __init__(self, server: Server, deflate: Deflate | None) -> None:
        super().__init__(server, deflate)
        self._silent_ticks = 0
        #: whether the system collects a large frame, and keeps what has come of it from us
        self._collecting = False
        #: data of pings that are to be answered
        self._pongs: deque[bytes] | None = None

    @abstractmethod
    def _ended(self, code: int, reason: str, reply: bytes | None) -> Callable[[], object] | None:
        """Put the peer's end in line; with the lock held."""

    @abstractmethod
    def abort(self) -> None:
        """Close the connection at once, without a close frame."""

    def ping(self, data: bytes = b"") -> None:
        """Send a ping (RFC 6455 section 5.5.2).

        :raises WebSocketClosed: it is closed
        """
        with self._lock:
            if self._close_sent or self._lost:
                raise self.closed_error()
            self._write(frames.build(frames.PING, data))

    def _answer_pings(self) -> None:
        """Send the pongs that are due (RFC 6455 section 5.5.3); with the lock held."""
        pongs = self._pongs
        if pongs is None or self._close_sent or self._lost:
            return
        if self._transport.buffered > _PONG_LIMIT:
            self._pongs = deque((pongs[-1],), maxlen=PINGS)
        else:
            self._pongs = None
            self._write(b"".join([frames.build(frames.PONG, data) for data in pongs]))

    def tick(self, ping_after: int, dead_after: int) -> None:
        """Called by the server's one keepalive timer, in the loop's thread.

        :param ping_after: ticks of silence after which a ping is sent
        :param dead_after: ticks of silence after which the connection is given up
        """
        if self._alive:
            self._alive = False
            self._silent_ticks = 0
            return
        self._silent_ticks += 1
        if self._collecting:
            with self._lock:
                self._collect(0)
        if self._silent_ticks == ping_after:
            with self._lock:
                # A peer that has closed would answer with a reset, which takes away what is unread.
                if not self.closed and not (self._paused and self._departure()):
                    self._write(frames.build(frames.PING, b""))
        elif self._silent_ticks == dead_after:
            if not self._paused:
                self.server.gave_up("silent")
                self.close(1011, "keepalive: nothing came from the peer")
                return
            self._silent_ticks = 0
            if why := self._departure():
                self.server.gave_up("silent")
                with self._lock:
                    ready = self._ended(1006, why, None)
                self.abort()
                if ready is not None:
                    ready()

    def _collect(self, missing: int) -> None:
        """Let the system collect what is *missing* of a large frame; with the lock held.

        Until the next tick: who sends it slowly is not silent.
        """
        expect = getattr(self._transport, "expect", None)
        self._collecting = expect is not None and bool(expect(missing))

    def _departure(self) -> str:
        """Why the peer of a connection that is not read from counts as gone; empty otherwise."""
        departure = getattr(self._transport, "departure", None)
        return "" if departure is None else str(departure(self.config.ping_timeout / 2))
