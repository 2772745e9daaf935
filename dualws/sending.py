"""The sending half of a connection: in order, and no faster than the peer reads.

Law: what waits for a slow peer is bounded. Code that may block waits for the peer, code
that may not is told so, and a peer that takes nothing for too long is given up (1008).
The mutex of the connection is held for microseconds, so a message that must be compressed
in its turn (RFC 7692, with context takeover) is compressed under a lock of its own.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from dualws.contract import Runtime, ServerConfig, Transport
from dualws.errors import MessageTooBig, SendTimeout, WebSocketClosed
from dualws.protocol.deflate import Deflate
from dualws.protocol.outgoing import InOrder, Outgoing

if TYPE_CHECKING:
    from dualws.contract import Server

logger = logging.getLogger("dualws.connection")


class Sender(ABC):
    """What :class:`~dualws.connection.Connection` is to those who send.

    :param server: the server that it belongs to
    :param deflate: permessage-deflate, when that was negotiated
    """

    __slots__ = (
        "_close_sent",
        "_lock",
        "_lost",
        "_order",
        "_senders",
        "_transport",
        "_write",
        "close_code",
        "close_reason",
        "deflate",
        "runtime",
        "server",
    )

    def __init__(self, server: Server, deflate: Deflate | None) -> None:
        self.server = server
        self.runtime: Runtime = server.runtime
        self.deflate = deflate
        self._lock = self.runtime.lock()
        # Held while a message is compressed that the next one may refer to.
        self._order = self.runtime.lock() if deflate is not None and deflate.keeps_context else None
        self._transport: Transport
        self._write: Callable[[bytes], object]
        self._senders: list[Callable[[], object]] | None = None
        self._close_sent = False
        self._lost = False
        #: code and reason of the end (RFC 6455 section 7.1.5); None while open
        self.close_code: int | None = None
        self.close_reason = ""

    @property
    def config(self) -> ServerConfig:
        return self.server.config

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
        if not self.write(frame):
            self._wait_for_peer()

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
            self._write(frame)  # type: ignore[arg-type]
            return self._transport.buffered <= self.config.send_buffer_size

    def _write_in_order(self, message: InOrder) -> bool:
        """:meth:`write`, compressed in the order in which it goes out (RFC 7692 section 7.2.1)."""
        assert self.deflate is not None
        assert self._order is not None
        with self._order:
            return self.write(self.deflate.frame(*message))

    def send_nowait(self, frame: Outgoing) -> bool:
        """Send a frame, or end the connection (1008) if its peer reads too slowly for it.

        :return: whether it was sent
        """
        with self._lock:
            if self._close_sent or self._lost:
                return False
            room = self._transport.buffered <= self.config.send_buffer_size
            if room and type(frame) is not InOrder:
                self._write(frame)  # type: ignore[arg-type]
                return True
        if room:
            try:
                self._write_in_order(frame)  # type: ignore[arg-type]
            except WebSocketClosed:
                return False
            return True
        self._too_slow("its buffer is full")
        return False

    def _wait_for_peer(self) -> None:
        waiter = self.runtime.waiter()
        wake = waiter.wake
        while (before := self.when_drained(wake)) is not None:
            if waiter.wait(self.config.send_timeout):
                return
            if not self.cancel_drained(wake):
                waiter.wait()
                return
            self.check_progress(before)

    def when_drained(self, callback: Callable[[], object]) -> int | None:
        """Call *callback* once, from any thread, when the peer has read or gone.

        :return: how many bytes wait for the peer; None when the send buffer has room, and
            *callback* will not be called
        """
        with self._lock:
            before = self._transport.buffered
            if before <= self.config.send_buffer_size or self._lost:
                return None
            if self._senders is None:
                self._senders = []
            self._senders.append(callback)
            return before

    def cancel_drained(self, callback: Callable[[], object]) -> bool:
        """Take :meth:`when_drained` back; False when *callback* has been, or is being, called."""
        with self._lock:
            if self._senders is None or callback not in self._senders:
                return False
            self._senders.remove(callback)
            return True

    def check_progress(self, before: int) -> None:
        """After ``send_timeout`` seconds: give the peer up if it has taken nothing.

        :param before: what :meth:`when_drained` returned
        :raises SendTimeout: it has not; the connection is being closed with 1008
        """
        if self._transport.buffered >= before:
            self._too_slow(f"it took nothing for {self.config.send_timeout:g} s")
            raise SendTimeout(1008, "the peer reads too slowly")

    def _wake_senders(self) -> None:
        with self._lock:
            senders, self._senders = self._senders, None
        for wake in senders or ():
            wake()

    def _too_slow(self, why: str) -> None:
        logger.warning(
            "closing a websocket with 1008: the peer reads too slowly (%s, %d bytes wait)",
            why,
            self._transport.buffered,
        )
        self.close(1008, "the peer reads too slowly")

    def closed_error(self) -> WebSocketClosed:
        """The exception that tells why nothing can be sent."""
        code = 1006 if self.close_code is None else self.close_code
        kind = MessageTooBig if code == 1009 else WebSocketClosed
        return kind(code, self.close_reason)
