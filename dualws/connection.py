"""One websocket's whole state: inbox, limits, keepalive, close handshake; sending is in
:mod:`dualws.sending`.

Law: one native mutex guards everything here; it is held for microseconds and never while
code of others runs, so a callback is only ever called after it has been released.
The end of what the peer sends (its close frame, an error of its, or the connection's loss)
waits in line behind the messages that came before it: they are delivered, and may be
answered, before the close is. A handler that does not come for them within
:data:`GRACE` seconds does not hold the close up any longer.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from dualws.contract import Timer, Transport, Waiter
from dualws.fragment_turns import Turn
from dualws.liveness import PINGS, Living
from dualws.protocol import frames
from dualws.protocol.deflate import Deflate
from dualws.protocol.stream import Close, Event, Failure, Ping, Pong, Stream
from dualws.sentinels import ENDED as ENDED
from dualws.sentinels import WAIT as WAIT
from dualws.sentinels import Sentinel as Sentinel

if TYPE_CHECKING:
    from dualws.auth import Identity
    from dualws.contract import Server
    from dualws.observing.seeing import Record

#: Seconds that the peer's end waits for a handler that is busy elsewhere.
GRACE = 1.0
#: Events parsed before the handler gets its turn.
_PARSE_LIMIT = 256
#: Bytes that are missing of a large frame, and those of a small piece of it.
_LARGE, _SMALL = 32 * 1024, 4 * 1024
#: Seconds that our close frame waits for messages that a message in fragments holds up.
HELD_GRACE = GRACE / 2


class Connection(Living):
    """The core's side of one websocket: ``dualws.contract.ConnectionOwner``.

    :param server: the server that it belongs to, and is counted in
    :param stream: parses what arrives
    :param deflate: permessage-deflate, when that was negotiated
    """

    __slots__ = (
        "__weakref__",
        "_abort_timer",
        "_grace_timer",
        "_reply",
        "identity",
        "on_lost",
        "seen",
        "topics",
        "wants_pongs",
    )

    def __init__(self, server: Server, stream: Stream, deflate: Deflate | None = None) -> None:
        super().__init__(server, deflate)
        self._stream = stream
        self._most_messages = min(self.config.max_queued_messages, sys.maxsize)
        self._most_bytes = min(self.config.max_message_size, sys.maxsize)
        #: the close frame that answers the peer's end, when it is its turn
        self._reply: bytes | None = None
        self._grace_timer: Timer | None = None
        self._abort_timer: Timer | None = None
        #: whether :meth:`take` also gives pongs, in line with the messages
        self.wants_pongs = False
        self.on_lost: Callable[[], object] | None = None
        #: who was signed in at the handshake (:mod:`dualws.auth`)
        self.identity: Identity | None = None
        #: topics of ``dualws.pubsub`` that it is subscribed to
        self.topics: set[str] | None = None
        #: what :mod:`dualws.observing` keeps of it, when something observes
        self.seen: Record | None = None

    def open(self, transport: Transport) -> None:
        """Begin: the 101 response is on its way."""
        self._transport = transport
        self._waiting = transport.buffered  # of the 101
        self.server.connections.add(self)
        if self._lost:  # before it was counted: nobody else will forget it
            self.server.forget(self)
            return
        transport.resume_reading()

    @property
    def received(self) -> int:
        """Bytes that wait here: of messages that came, and of what was sent and is kept back."""
        return self._inbox_bytes + self._stream.held + self.kept

    # -- from the transport --------------------------------------------------------

    def eof_received(self) -> None:
        with self._lock:
            if self._close_sent:
                # Its answer to our close frame will not come any more.
                self._peer_over()
            ready = self._ended(1006, "the peer closed the connection without a close frame", None)
        if ready is not None:
            ready()

    def drained(self) -> None:
        with self._lock:
            # Not simply 0: another thread may have written again.
            self._waiting = self._transport.buffered
            if self._pongs:
                self._answer_pings()
        self._wake_senders()

    def connection_lost(self, error: OSError | None) -> None:
        with self._lock:
            self._lost = True
            self._batch = None
            ready = self._ended(1006, str(error) if error else "the connection was lost", None)
            if ready is None:
                ready, self._ready = self._ready, None
            timers = self._grace_timer, self._abort_timer
            self._grace_timer = self._abort_timer = None
        for timer in timers:
            if timer is not None:
                timer.cancel()
        self.server.forget(self)
        if self.topics:
            from dualws.pubsub import unsubscribe_all

            unsubscribe_all(self)
        self._wake_senders()
        if self.on_lost is not None:
            self.on_lost()
        if ready is not None:
            ready()

    def _receive(self, data: bytes) -> Callable[[], object] | None:
        """Parse and sort; with the lock held. Returns what must be called without it."""
        stream = self._stream
        inbox = self._inbox
        ready = None
        while True:
            events = stream.feed(data, _PARSE_LIMIT)
            if stream.only_messages and not self._end:
                self.messages_in += len(events)
                inbox += events  # type: ignore[arg-type]  # they are what the stream says
                self._inbox_bytes += sum(map(len, events))
            else:
                for event in events:
                    ready = self._sort(event) or ready
            # The handler that takes a message goes on with the rest. Without a message (pings
            # alone) it is not woken, and after the end only the peer's close frame matters.
            if not stream.pending or (inbox and not self._end):
                break
            data = b""
        if self._collecting or (stream.missing >= _LARGE and len(data) < _SMALL):
            self._collect(stream.missing)
        if self._pongs:
            self._answer_pings()
        if inbox and self._ready is not None:
            ready, self._ready = self._ready, None
        if not self._end and (
            stream.pending
            or len(inbox) >= self._most_messages
            or self._inbox_bytes > self._most_bytes
        ):
            self._paused = True
            self._transport.pause_reading()
        return ready

    def _sort(self, event: Event) -> Callable[[], object] | None:
        if isinstance(event, str | bytes):
            self.messages_in += 1
            if not self._end:
                self._inbox.append(event)
                self._inbox_bytes += len(event)
        elif type(event) is Ping:
            if self._pongs is None:
                self._pongs = deque(maxlen=PINGS)
            self._pongs.append(event.data)
        elif type(event) is Pong:
            if self.wants_pongs and not self._end:
                self._inbox.append(event)
        elif type(event) is Close:
            self._answer_pings()
            if self._close_sent:  # it is the answer to ours: the handshake is complete
                self._peer_over()
            code, reason = event
            reply = frames.close(None if code == 1005 else code, reason)
            return self._ended(code, reason, reply)
        elif type(event) is Failure:
            self._answer_pings()
            code, reason = event
            return self._ended(code, reason, frames.close(code, reason))
        return None

    def _peer_over(self) -> None:
        """The peer has ended its side after we ended ours; with the lock held."""
        turn = self._turn
        if turn is not None and turn.parting is not None:
            turn.parting = turn.parting[0], True
        else:
            self._transport.close()

    def _ended(self, code: int, reason: str, reply: bytes | None) -> Callable[[], object] | None:
        """Put the peer's end in line; with the lock held."""
        if self._end:
            return None
        self._end = True
        self.close_code = code
        self.close_reason = reason
        self._reply = reply
        ready, self._ready = self._ready, None
        if ready is not None and not self._inbox:
            self._answer_end()
        elif not self._lost:
            self._grace_timer = self.runtime.call_later(GRACE, self._grace_over)
        return ready

    def _answer_end(self) -> None:
        """Answer the peer's end and close the connection; with the lock held."""
        if self._close_sent or self._lost:
            return
        self._part_behind(self._reply, over=True)

    def _part_behind(self, frame: bytes | None, *, over: bool) -> None:
        """Send our close frame behind what was sent before, as :meth:`_part`.

        What a message in fragments holds up is waited for, :data:`HELD_GRACE` seconds.
        """
        self._close_sent = True
        turn = self._turn
        if turn is None or not turn.held:
            self._part(frame, over)
            return
        turn.parting = frame, over
        if self._grace_timer is not None:
            self._grace_timer.cancel()
        self._grace_timer = self.runtime.call_later(HELD_GRACE, self._part_late, turn)

    def _part_late(self, turn: Turn) -> None:
        with self._lock:
            self._part_after(turn)

    def _part(self, frame: bytes | None, over: bool) -> None:
        if frame is not None:
            self._write(frame)
        elif self._batch is not None:
            self._flush()
        if over:
            self._transport.close()
        self._abort_timer = self.runtime.call_later(self.config.close_timeout, self.abort)

    def _grace_over(self) -> None:
        with self._lock:
            self._answer_end()

    # -- for the handler -----------------------------------------------------------

    @property
    def waiting(self) -> tuple[int, int, bool]:
        """Messages in the inbox, bytes that wait for the peer, whether reading is paused."""
        return len(self._inbox), self._buffered(), self._paused

    @property
    def awaited(self) -> bool:
        """Whether code waits for the next message: its handler has nothing to do."""
        return self._ready is not None

    def when_ready(self, ready: Callable[[], object]) -> bool:
        """Call *ready* once, from any thread, when there is something to take.

        :return: False when there is something already, and *ready* will not be called
        :raises RuntimeError: as :meth:`take`
        """
        with self._lock:
            if self._inbox or self._end:
                return False
            if self._ready is not None:
                self._refuse_second()
            self._ready = ready
            return True

    @staticmethod
    def _refuse_second() -> NoReturn:
        raise RuntimeError(
            "receive() is called while other code waits in receive() on the same "
            "websocket: let one thread or greenlet receive, and hand the messages on"
        )

    def _make_room(self) -> None:
        """A message was taken while reading pauses; with the lock held."""
        self._alive = True
        if (
            len(self._inbox) <= self._most_messages // 2
            and self._inbox_bytes <= self._most_bytes // 2
        ):
            self._paused = False
            if self._stream.pending:
                self._receive(b"")  # nobody waits: this code has the message
            if not self._paused:
                self._transport.resume_reading()

    def cancel_take(self, ready: Callable[[], object] | None = None) -> bool:
        """Take back a :data:`WAIT`; False when *ready* has been, or is being, called.

        :param ready: who takes back; None for whoever it is
        """
        with self._lock:
            if self._ready is None or (ready is not None and self._ready is not ready):
                return False
            self._ready = None
            return True

    def _waiter_for(self) -> Waiter:
        """What code waits with that may block: the transport's own, if it has one."""
        make: Callable[[], Waiter] = getattr(self._transport, "waiter", self.runtime.waiter)
        return make()

    def _wait_broke(self) -> None:
        """Code was killed while it waited."""
        self._waiter = None
        self.cancel_take()

    def _not_woken(self, timeout: float | None) -> None:
        """The time to wait is over.

        :raises TimeoutError: and nothing comes in this moment
        """
        if self.cancel_take():
            raise TimeoutError(f"no message within {timeout} s")
        assert self._waiter is not None
        self._waiter.wait()

    # -- closing -------------------------------------------------------------------

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Start the close handshake (RFC 6455 section 7.1.2), or answer the peer's.

        Returns at once. Messages that wait in the inbox are dropped. The connection is
        aborted when the peer does not answer within ``close_timeout``.
        """
        with self._lock:
            if self._close_sent or self._lost:
                return
            ready, self._ready = self._ready, None
            self._inbox.clear()
            self._inbox_bytes = 0
            if self._end:
                self._answer_end()
            else:
                self._end = True
                self._stream.discarding = True
                self.close_code = code
                self.close_reason = reason
                self._part_behind(frames.close(code, reason), over=False)
                if self._paused:
                    self._paused = False
                    if self._stream.pending:
                        self._receive(b"")
                    self._transport.resume_reading()
        if ready is not None:
            ready()

    def abort(self) -> None:
        """Close the connection at once, without a close frame."""
        self._transport.abort()

    def nudge(self) -> None:
        """Let an idle handler that is called for events look around (:mod:`dualws.events`)."""
        with self._lock:
            if not self.wants_pongs:
                return
            ready, self._ready = self._ready, None
        if ready is not None:
            ready()
