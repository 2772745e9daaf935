"""A connection's way of a message that comes and of one that goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from dualws.hot.pure.turns import is_due
from dualws.protocol.frames import BINARY, TEXT, build
from dualws.sentinels import ENDED, WAIT, Sentinel

if TYPE_CHECKING:
    from dualws.contract import Lock, Server, Transport, Waiter
    from dualws.errors import WebSocketClosed
    from dualws.fragment_turns import Turn
    from dualws.protocol.deflate import Deflate
    from dualws.protocol.outgoing import Broadcast, Outgoing
    from dualws.protocol.stream import Pong, Stream

#: Bytes that are kept to go out together, at most.
_BATCH = 64 * 1024


class Connection:
    """Base of :class:`dualws.connection.Connection`."""

    __slots__ = (
        "_alive",
        "_batch",
        "_close_sent",
        "_end",
        "_inbox",
        "_inbox_bytes",
        "_limit",
        "_lock",
        "_lost",
        "_most_bytes",
        "_most_messages",
        "_paused",
        "_plain",
        "_ready",
        "_stream",
        "_transport",
        "_turn",
        "_waiter",
        "_waiting",
        "behind",
        "bytes_in",
        "bytes_out",
        "deflate",
        "messages_in",
        "messages_out",
        "server",
    )

    server: Server
    _lock: Lock
    _transport: Transport
    _stream: Stream
    #: reading pauses when as many messages, or more bytes, wait for the handler
    _most_messages: int
    _most_bytes: int
    #: bytes that may wait for the peer
    _limit: int
    #: whether something has come since the last tick
    _alive: bool
    #: what was sent and goes out together with the next: see :meth:`_put`
    _batch: bytearray | None
    _close_sent: bool
    #: whether the peer's side, or ours, has ended: nothing more goes to the inbox
    _end: bool
    #: what has come and waits for the handler: short, and an empty deque takes 600 bytes more
    _inbox: list[str | bytes | Pong]
    _inbox_bytes: int
    _lost: bool
    #: whether reading pauses: silence means nothing then
    _paused: bool
    #: whether messages may be sent past :meth:`write`
    _plain: bool
    #: to be called once, without the lock, when there is something to take
    _ready: Callable[[], object] | None
    _turn: Turn | None
    _waiter: Waiter | None
    #: bytes that waited for the peer when something was last written, or all was taken
    _waiting: int
    #: whether somebody waits for the peer, or was stopped while waiting: who sends next waits
    #: before, so that a message sent with a time limit again and again does not pile up
    behind: bool
    #: messages, and bytes of their frames and of control frames, each way so far
    messages_in: int
    messages_out: int
    bytes_in: int
    bytes_out: int
    #: permessage-deflate, when that was negotiated
    deflate: Deflate | None

    if TYPE_CHECKING:  # what the class that is made of this one has

        def _receive(self, data: bytes) -> Callable[[], object] | None: ...
        def _answer_end(self) -> None: ...
        def _make_room(self) -> None: ...
        def _refuse_second(self) -> None: ...
        def _waiter_for(self) -> Waiter: ...
        def _not_woken(self, timeout: float | None) -> None: ...
        def _wait_broke(self) -> None: ...
        def _send_nowait(self, frame: Outgoing) -> bool: ...
        def write(self, frame: Outgoing) -> bool: ...
        def closed_error(self) -> WebSocketClosed: ...
        def cancel_take(self, ready: Callable[[], object] | None = None) -> bool: ...

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """One that is open, with nothing in it."""
        self = super().__new__(cls)
        self._alive = self._plain = True
        self._close_sent = self._end = self._lost = self._paused = self.behind = False
        self._batch = self._ready = self._turn = self._waiter = self.deflate = None
        self._inbox = []
        self._inbox_bytes = self._waiting = 0
        self.messages_in = self.messages_out = self.bytes_in = self.bytes_out = 0
        return self

    # -- what comes ----------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """As :meth:`dualws.contract.ConnectionOwner.data_received`."""
        with self._lock:
            self._alive = True
            size = len(data)
            self.bytes_in += size
            message = self._stream.feed_one(data, size - 6)
            if message is None:
                ready = self._receive(data)
            else:  # what nearly all messages are
                self.messages_in += 1
                if self._end:
                    return
                inbox = self._inbox
                inbox.append(message)
                self._inbox_bytes += len(message)
                ready = self._ready
                if ready is not None:
                    self._ready = None
                elif len(inbox) >= self._most_messages or self._inbox_bytes > self._most_bytes:
                    self._paused = True
                    self._transport.pause_reading()
        if ready is not None:
            ready()

    def take(self, ready: Callable[[], object] | None) -> str | bytes | Pong | Sentinel:
        """The next message, without waiting.

        :param ready: called once, from any thread, when there is something to take after
            this returned :data:`WAIT`; None if nothing is to be called
        :return: a message, a pong if those are wanted, :data:`WAIT`, or :data:`ENDED`
        :raises RuntimeError: other code waits for the next message already
        """
        with self._lock:
            if self._inbox:
                return self._pop()
            if self._end:
                self._answer_end()
                return ENDED
            if self._batch is not None:
                self._flush()
            if self._ready is None:
                self._ready = ready
            elif ready is not None and self._ready is not ready:
                self._refuse_second()
            return WAIT

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        """Wait for the next message, in a thread or greenlet that may block.

        :param timeout: seconds; None waits as long as it takes
        :return: text as ``str``, binary as ``bytes``, None once the websocket has ended
        :raises TimeoutError: nothing came in time
        """
        while True:
            with self._lock:
                # As take(), which this is for nearly all messages.
                if self._inbox:
                    return self._pop()  # type: ignore[return-value]  # no pongs here
                if self._end:
                    self._answer_end()
                    return None
                if self._batch is not None:
                    self._flush()
                if self._ready is not None:
                    self._refuse_second()
                waiter = self._waiter
                if waiter is None:
                    waiter = self._waiter = self._waiter_for()
                self._ready = waiter.wake
            try:
                woken = waiter.wait(timeout)
            except BaseException:  # killed while it waited
                self._wait_broke()
                raise
            if not woken:
                self._not_woken(timeout)

    def _pop(self) -> str | bytes | Pong:
        message = self._inbox.pop(0)
        if type(message) is str or type(message) is bytes:
            self._inbox_bytes -= len(message)
        if self._paused:
            self._make_room()
        return message

    # -- what goes -----------------------------------------------------------------

    def send_message(self, data: object) -> bool | None:
        """Send a message that is plainly one, without waiting.

        :param data: ``str`` as text, ``bytes`` as binary
        :return: whether the send buffer has room; None when nothing was done, and the message
            must go the long way: it is something else, is to be compressed, has to wait, or
            others are to have a turn before (:func:`dualws.hot.others_turn`)
        :raises WebSocketClosed: it is closed
        """
        if self.behind or self.deflate is not None or is_due():
            return None
        if type(data) is str:
            return self.write(build(TEXT, data.encode()))
        return self.write(build(BINARY, data)) if type(data) is bytes else None

    def send_nowait(self, frame: Outgoing) -> bool:
        """Send a frame, or end the connection (1008) if its peer reads too slowly for it.

        :return: whether it was sent
        """
        with self._lock:
            if self._close_sent or self._lost:
                return False
            if not self._waiting and self._turn is None and type(frame) is bytes:
                # What nearly all are: nothing waits, for the peer or for another message's end.
                if self._put(frame) < 0:
                    self._lost = True
                    return False
                return True
        return self._send_nowait(frame)

    def _put(self, frame: bytes) -> int:
        """Send a frame, with the lock held; how many bytes wait for the peer then, those not
        counted that are kept here.

        While further messages wait for the handler it will soon answer those as well, and its
        answers go out together: when it has come to the last message, when they are many, or
        when :class:`dualws.flushing.Flusher` comes, whichever is first.
        """
        self.messages_out += 1
        self.bytes_out += len(frame)
        batch = self._batch
        if not self._inbox:
            if batch is None:
                self._waiting = waiting = self._transport.write(frame)
                return waiting
            if len(frame) < _BATCH:
                batch += frame
                return self._flush()
            self._flush()
            self._waiting = self._transport.write(frame)
            return self._waiting
        if batch is None:
            batch = self._batch = bytearray()
            self.server.flusher.add(self)  # type: ignore[arg-type]  # it is made of this
        batch += frame
        if len(batch) >= _BATCH or len(batch) > self._limit:
            return self._flush()
        return self._waiting

    def _flush(self) -> int:
        """Send what was kept to go out together; with the lock held."""
        batch, self._batch = self._batch, None
        if batch is not None:
            self._waiting = self._transport.write(batch)
        return self._waiting


def fan_out(connections: tuple[Connection, ...], message: Broadcast) -> int:
    """Send *message* to each of *connections*, waiting for none; to how many it was sent."""
    plain = message.plain
    sent = 0
    for connection in connections:
        deflate = connection.deflate
        frame = plain if deflate is None else message.frame_for(deflate)
        if connection.send_nowait(frame):
            sent += 1
    return sent
