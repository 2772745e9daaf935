"""A connection whose peer is limited: in what it sends a second, or in how long it says nothing.

Law: *who sends too much waits*: no more is read and parsed, so TCP makes the peer wait. Only who
has been waiting, without a pause, for ``rate_patience`` seconds is given up (1008). The connections
that wait share one timer (:class:`dualws.limits.limits.Limits`).
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dualws.connection import Connection
from dualws.contract import Transport
from dualws.limits import refusals
from dualws.limits.rates import Bucket
from dualws.protocol.deflate import Deflate
from dualws.protocol.outgoing import Outgoing
from dualws.protocol.stream import Event, Stream

if TYPE_CHECKING:
    from dualws.contract import Server

#: Close code of a websocket on which no message went for too long.
IDLE = 4408


class PacedStream(Stream):
    """Gives no more events at a time than the peer may send now."""

    __slots__ = ("portion",)

    #: most events at a time; 0 gives any number
    portion: int

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.whole = False  # every message is to be counted

    def feed(self, data: bytes, limit: int = 1 << 62) -> list[Event]:
        return super().feed(data, min(limit, self.portion) if self.portion else limit)


class Valve:
    """A transport that is not read from while the peer has to wait.

    :param transport: the connection's
    """

    __slots__ = ("_transport", "shut")

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        #: whether the peer has to wait
        self.shut = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def resume_reading(self) -> None:
        """Read again, unless the peer has to wait."""
        if not self.shut:
            self._transport.resume_reading()


class LimitedConnection(Connection):
    """Used, by way of :func:`limited`, where a rate, or an idle timeout, is set."""

    if not TYPE_CHECKING:  # the attributes are slots of the classes that are made of it
        __slots__ = ()

    _bytes: Bucket | None
    _messages: Bucket | None
    #: since when the peer has sent too much without a pause
    _over_since: float | None
    _paced: PacedStream
    _valve: Valve | None
    #: monotonic time of the last message, either way
    last_message: float

    def __init__(self, server: Server, stream: PacedStream, deflate: Deflate | None) -> None:
        super().__init__(server, stream, deflate)
        self._plain = False  # what is sent is noted
        config = server.config
        now = time.monotonic()
        stream.portion = 0
        self._paced = stream
        self._messages = Bucket(config.max_message_rate, now) if config.max_message_rate else None
        self._bytes = Bucket(config.max_byte_rate, now) if config.max_byte_rate else None
        self._over_since = None
        self.last_message = now
        self._valve = None

    def open(self, transport: Transport) -> None:
        self._valve = Valve(transport)
        super().open(self._valve)

    # -- receiving -----------------------------------------------------------------

    def _receive(self, data: bytes) -> Callable[[], object] | None:
        valve = self._valve
        if valve is not None and valve.shut and not data and not self._end:
            return None  # what is parsed already is the handler's, the rest waits
        now = time.monotonic()
        full = True
        if self._messages is not None:
            full = self._messages.fill(now)
            self._paced.portion = max(1, int(self._messages.level))
        if self._bytes is not None:
            full = self._bytes.fill(now) and full
        if full:
            self._over_since = None
        before = len(self._inbox)
        ready = super()._receive(data)
        count = len(self._inbox) - before
        if count:
            self.last_message = now
        if not self._end:
            self._weigh(count, len(data), now)
        return ready

    def _weigh(self, count: int, size: int, now: float) -> None:
        """Let the peer wait if it has sent too much; with the lock held."""
        delay = 0.0
        if self._messages is not None:
            delay = self._messages.take(count)
        if self._bytes is not None:
            delay = max(delay, self._bytes.take(size))
        if not delay or self._valve is None:
            return
        if self._over_since is None:
            self._over_since = now
        elif now - self._over_since > self.config.rate_patience:
            self.runtime.call_later(0, self._too_fast)
        self._valve.shut = True
        self._transport.pause_reading()
        self.server.limits.wait(self, now + delay)

    def go_on(self) -> None:
        """The peer has waited long enough; in the loop's thread."""
        with self._lock:
            valve = self._valve
            if valve is None or not valve.shut:
                return
            valve.shut = False
            ready = self._receive(b"") if self._stream.pending and not self._paused else None
            if not (valve.shut or self._paused):
                valve.resume_reading()
        if ready is not None:
            ready()

    def _too_fast(self) -> None:
        if self.closed:
            return
        refusals.note(
            "rate",
            "closing a websocket with 1008: its peer has sent more than max_message_rate or "
            "max_byte_rate for %g s",
            self.config.rate_patience,
        )
        self.close(1008, "too many messages")

    def close(self, code: int = 1000, reason: str = "") -> None:
        super().close(code, reason)
        with self._lock:
            valve = self._valve
            if self._end and valve is not None and valve.shut:
                valve.shut = False
                if self._stream.pending:
                    self._receive(b"")  # the handler hears of nothing any more
                valve.resume_reading()

    # -- sending -------------------------------------------------------------------

    def write(self, frame: Outgoing) -> bool:
        self.last_message = time.monotonic()
        return super().write(frame)

    def send_nowait(self, frame: Outgoing) -> bool:
        self.last_message = time.monotonic()
        return super().send_nowait(frame)

    def write_fragment(self, frame: bytes) -> bool:
        self.last_message = time.monotonic()
        return super().write_fragment(frame)


@functools.cache
def limited(kind: type[Connection]) -> type[LimitedConnection]:
    """The class of limited connections that are otherwise of this *kind*."""
    slots = ("_bytes", "_messages", "_over_since", "_paced", "_valve", "last_message")
    # Bases may not both have slots of their own, so these are added at the end.
    return type(f"Limited{kind.__name__}", (LimitedConnection, kind), {"__slots__": slots})
