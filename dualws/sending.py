"""The sending half of a connection: in order, and no faster than the peer reads.

Law: what waits for a slow peer is bounded. Code that may block waits for the peer, code
that may not is told so, and a peer that takes nothing for too long is given up (1008). What
waits for the end of a message in fragments is bounded in the same way, and is no fault of the peer.
The mutex of the connection is held for microseconds, so a message that must be compressed
in its turn (RFC 7692, with context takeover) is compressed under a lock of its own.
"""

from __future__ import annotations

import logging
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from dualws import hot
from dualws.contract import Runtime, ServerConfig
from dualws.errors import MessageTooBig, SendTimeout, WebSocketClosed
from dualws.fragment_turns import Turn, running
from dualws.protocol.deflate import Deflate
from dualws.protocol.outgoing import InOrder, Outgoing

if TYPE_CHECKING:
    from dualws.contract import Server

logger = logging.getLogger("dualws.connection")


class Sender(hot.Connection, ABC):
    """What :class:`~dualws.connection.Connection` is to those who send.

    :param server: the server that it belongs to
    :param deflate: permessage-deflate, when that was negotiated
    """

    __slots__ = ("_order", "_senders", "close_code", "close_reason", "runtime")

    def __init__(self, server: Server, deflate: Deflate | None) -> None:
        self.server = server
        self.runtime: Runtime = server.runtime
        self.deflate = deflate
        self._lock = self.runtime.lock()
        # Held while a message is compressed that the next one may refer to.
        self._order = self.runtime.lock() if deflate is not None and deflate.keeps_context else None
        self._limit = min(server.config.send_buffer_size, sys.maxsize)
        self._senders: list[Callable[[], object]] | None = None
        #: code and reason of the end (RFC 6455 section 7.1.5); None while open
        self.close_code: int | None = None
        self.close_reason = ""

    @property
    def config(self) -> ServerConfig:
        return self.server.config

    def allow(self, size: int) -> None:
        """Let *size* bytes wait for the peer from now on."""
        self._limit = size

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._close_sent or self._lost

    @abstractmethod
    def close(self, code: int = 1000, reason: str = "") -> None:
        """Start the close handshake (RFC 6455 section 7.1.2), or answer the peer's."""

    def send(self, frame: Outgoing) -> None:
        """Send a frame; waits while more than the send buffer waits for the peer.

        :raises WebSocketClosed: it is closed
        :raises SendTimeout: the peer took nothing for ``send_timeout`` seconds
        """
        if self.behind and not self.closed:
            self.wait_for_peer()
        if not self.write(frame):
            self.wait_for_peer()

    def write(self, frame: Outgoing) -> bool:
        """Send a frame without waiting.

        :return: whether the send buffer has room; without it, code waits in its own way
            (:meth:`when_drained`)
        :raises WebSocketClosed: it is closed
        """
        if type(frame) is InOrder:
            return self._write_in_order(frame)
        with self._lock:
            if self._close_sent or self._lost:
                raise self.closed_error()
            if self._turn is not None:
                return self._hold(self._turn, frame)
            waiting = self._put(frame)
            return True if waiting == 0 else self._has_room(waiting)

    def _has_room(self, waiting: int) -> bool:
        """Whether the send buffer has room; with the lock held.

        :param waiting: what the transport's ``write`` returned
        :raises WebSocketClosed: the peer is gone
        """
        if waiting < 0:
            # The loop does not know yet, and a handler that does nothing but send keeps it busy.
            self._lost = True
            raise self.closed_error()
        return waiting <= self._limit

    def _write(self, frame: bytes) -> int:
        """Send a frame at once, behind what was sent before; with the lock held."""
        if self._batch is not None:
            self._flush()
        self.bytes_out += len(frame)
        self._waiting = self._transport.write(frame)
        return self._waiting

    def flush(self) -> None:
        """Send what was kept to go out together."""
        with self._lock:
            if self._batch is not None:
                self._flush()

    def _write_in_order(self, message: InOrder) -> bool:
        """:meth:`write`, compressed in the order in which it goes out (RFC 7692 section 7.2.1)."""
        assert self.deflate is not None
        assert self._order is not None
        with self._order:
            with self._lock:
                if self._turn is not None and not self.closed:
                    return self._hold(self._turn, message)
            return self.write(self.deflate.frame(*message))

    def _send_nowait(self, frame: Outgoing) -> bool:
        """:meth:`send_nowait` where something waits, or is to be compressed in order."""
        with self._lock:
            if self._close_sent or self._lost:
                return False
            if self._batch is not None and self._buffered() > self._limit:
                self._flush()  # what is kept back here is not the peer's fault
            room = self._buffered() <= self._limit
            if room and self._turn is not None:
                self._hold(self._turn, frame)
                return True
            if room and type(frame) is not InOrder:
                if self._put(frame) < 0:
                    self._lost = True
                    return False
                return True
            slow = self._transport.buffered > self._limit
        if room:
            try:
                self._write_in_order(frame)  # type: ignore[arg-type]  # bytes are gone by now
            except WebSocketClosed:
                return False
            return True
        if slow:
            full = "its buffer is full" if self._limit else "all websockets' buffers are full"
            self._too_slow(full)
        else:
            self._held_up()
        return False

    # -- messages in fragments -----------------------------------------------------

    def begin_fragments(self, ready: Callable[[], object]) -> bool:
        """Ask for the turn to send a message in fragments; :meth:`end_fragments` gives it back.

        What others send meanwhile is held, within the limit of the send buffer.

        :param ready: called once, from any thread, when the turn has come after all
        :return: False when another message is under way in fragments
        :raises WebSocketClosed: it is closed
        :raises RuntimeError: that message is produced by this very code: it would wait for itself
        """
        if self._order is None:
            return self._begin_fragments(ready)
        with self._order:  # what is being compressed goes out first
            return self._begin_fragments(ready)

    def _begin_fragments(self, ready: Callable[[], object]) -> bool:
        with self._lock:
            if self._close_sent or self._lost:
                raise self.closed_error()
            if self._turn is None:
                self._turn = Turn()
                return True
            me = running()
            if self._turn.producer == me:
                raise RuntimeError(
                    "ws.send(iterator) is called inside the iterator of another message to the "
                    "same websocket, which would wait for itself: send it before or afterwards, "
                    "or in one piece"
                )
            self._turn.next.append((ready, me))
            return False

    def cancel_fragments(self, ready: Callable[[], object]) -> bool:
        """Take :meth:`begin_fragments` back; False when the turn has come already."""
        with self._lock:
            turn = self._turn
            if turn is not None:
                for waiting in turn.next:
                    if waiting[0] == ready:
                        turn.next.remove(waiting)
                        return True
            return False

    def write_fragment(self, frame: bytes) -> bool:
        """Send a frame of the message whose turn it is; as :meth:`write`.

        :raises WebSocketClosed: it is closed
        """
        with self._lock:
            closing = self._close_sent and (self._turn is None or self._turn.parting is None)
            if closing or self._lost:
                raise self.closed_error()
            if frame[0] & 0x80:  # FIN: its message is complete
                self.messages_out += 1
            return self._has_room(self._write(frame))

    def send_fragment(self, frame: bytes, *, wait: bool) -> None:
        """:meth:`write_fragment` in code that may block.

        :param wait: wait for a slow peer; without, it is given up (1008)
        :raises WebSocketClosed: it is closed
        :raises SendTimeout: the peer took nothing for ``send_timeout`` seconds
        """
        if self.write_fragment(frame):
            return
        if wait:
            self.wait_for_peer(own=True)
        else:
            self._too_slow("its buffer is full")
            raise self.closed_error()

    def end_fragments(self, complete: bool) -> None:
        """Give the turn back, and send what was held meanwhile.

        :param complete: whether the last frame has been sent; without it nothing can follow,
            and the connection is closed (1011)
        """
        if not complete:
            with self._lock:
                if self._turn is not None:
                    self._turn.held.clear()
            self.close(1011, "a message broke off")
        if self._order is None:
            ready = self._end_fragments()
        else:
            with self._order:
                ready = self._end_fragments()
        if ready is not None:
            ready()
        self._wake_senders()

    def _end_fragments(self) -> Callable[[], object] | None:
        turn = self._turn
        if turn is None:
            return None  # lost: all that waited for a turn were let go at the same time
        while True:
            with self._lock:
                if self._lost or (self._close_sent and turn.parting is None):
                    turn.held.clear()
                if not turn.held:
                    turn.held_bytes = 0
                    self._part_after(turn)
                    if turn.next:
                        ready, turn.producer = turn.next.popleft()
                        return ready
                    self._turn = None
                    return None
                frame = turn.held.popleft()
                if type(frame) is not InOrder:
                    self.messages_out += 1
                    self._write(frame)
                    continue
            assert self.deflate is not None
            compressed = self.deflate.frame(*frame)
            with self._lock:
                if not (self._lost or (self._close_sent and turn.parting is None)):
                    self.messages_out += 1
                    self._write(compressed)

    def _part_after(self, turn: Turn) -> None:
        """Nothing is held any more: send the close frame that waited; with the lock held."""
        parting, turn.parting = turn.parting, None
        if parting is not None and not self._lost:
            self._part(*parting)

    @abstractmethod
    def _part(self, frame: bytes | None, over: bool) -> None:
        """Send our close frame; with the lock held.

        :param frame: None when none is sent
        :param over: the peer has ended its side
        """

    def _hold(self, turn: Turn, frame: Outgoing) -> bool:
        """Put a message off until it may be sent; with the lock held."""
        if turn.held_bytes > self._limit and turn.producer == running():
            raise RuntimeError(
                "more than send_buffer_size is sent inside the iterator of another message to the "
                "same websocket: what is sent there waits for that message's end"
            )
        turn.held.append(frame)
        turn.held_bytes += len(frame.payload if isinstance(frame, InOrder) else frame)
        return self._buffered() <= self._limit

    def _buffered(self) -> int:
        """Bytes that wait, for the peer or here."""
        return self._transport.buffered + self.kept

    @property
    def kept(self) -> int:
        """Bytes that wait here: for more to go with them, or for the end of another message."""
        turn = self._turn
        kept = 0 if self._batch is None else len(self._batch)
        return kept if turn is None else kept + turn.held_bytes

    # -- a slow peer ---------------------------------------------------------------

    def wait_for_peer(self, *, own: bool = False) -> None:
        """Wait until the send buffer has room; *own* and what is raised as :meth:`when_drained`,
        :meth:`check_progress`."""
        waiter = self.runtime.waiter()
        wake = waiter.wake
        self.behind = True
        while (before := self.when_drained(wake, own=own)) is not None:
            try:
                woken = waiter.wait(self.config.send_timeout)
            except BaseException:  # killed while it waited
                self.cancel_drained(wake)
                raise
            if not woken:
                if self.cancel_drained(wake):
                    self.check_progress(before)
                else:
                    waiter.wait()
        self.behind = False

    def when_drained(
        self, callback: Callable[[], object], *, own: bool = False
    ) -> tuple[int, int] | None:
        """Call *callback* once, from any thread, when there may be room again, or the peer is gone.

        :param own: whether it is one's own turn to send fragments: what is held waits for that
        :return: how far the peer is, for :meth:`check_progress`; None when the send buffer has
            room, and *callback* will not be called
        """
        with self._lock:
            waiting = self._transport.buffered
            turn = self._turn
            held = 0 if turn is None or own or turn.producer == running() else turn.held_bytes
            if waiting + held <= self._limit or self._lost:
                return None
            if self._senders is None:
                self._senders = []
            self._senders.append(callback)
            return waiting, self._taken()

    def cancel_drained(self, callback: Callable[[], object]) -> bool:
        """Take :meth:`when_drained` back; False when *callback* has been, or is being, called."""
        with self._lock:
            if self._senders is None or callback not in self._senders:
                return False
            self._senders.remove(callback)
            return True

    def _taken(self) -> int:
        """Bytes that the peer has taken since the connection began; -1 where that is not known."""
        taken = getattr(self._transport, "taken", None)
        return -1 if taken is None else int(taken())

    def check_progress(self, before: tuple[int, int]) -> None:
        """After ``send_timeout`` seconds: give the peer up if it has taken nothing.

        :param before: what :meth:`when_drained` returned
        :raises SendTimeout: it has not; the connection is being closed with 1008
        """
        waiting, taken = before
        # Without a byte for it, the peer is not who is slow.
        if waiting and self._transport.buffered >= waiting and self._taken() == taken:
            self._too_slow(f"it took nothing for {self.config.send_timeout:g} s")
            raise SendTimeout(1008, "the peer reads too slowly")

    def _wake_senders(self) -> None:
        with self._lock:
            senders, self._senders = self._senders, None
            if self._lost and self._turn is not None and self._turn.next:
                # The one whose turn it is may wait for something else for ever.
                senders = [*(senders or ()), *(ready for ready, _ in self._turn.next)]
                self._turn.next.clear()
        for wake in senders or ():
            wake()

    def _too_slow(self, why: str) -> None:
        logger.warning(
            "closing a websocket with 1008: the peer reads too slowly (%s, %d bytes wait)",
            why,
            self._buffered(),
        )
        self.server.gave_up("slow")
        self.close(1008, "the peer reads too slowly")

    def _held_up(self) -> None:
        logger.warning(
            "closing a websocket with 1011: a message in fragments holds up %d bytes of others",
            self._buffered(),
        )
        self.server.gave_up("held up")
        self.close(1011, "a message took too long")

    def closed_error(self) -> WebSocketClosed:
        """The exception that tells why nothing can be sent."""
        code = 1006 if self.close_code is None else self.close_code
        kind = MessageTooBig if code == 1009 else WebSocketClosed
        return kind(code, self.close_reason)
