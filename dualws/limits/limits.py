"""The limits of one server: ``server.limits``.

Law: what is looked at now and then is looked at for all connections at once, by one timer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from dualws.connection import Connection
from dualws.contract import Environ, ServerConfig, Timer, Transport
from dualws.limits import refusals
from dualws.limits.connection import IDLE, LimitedConnection, PacedStream, limited
from dualws.limits.counting import Account, Counter
from dualws.limits.gate import ENVIRON_PLACE, Place
from dualws.protocol.deflate import Deflate
from dualws.protocol.stream import Stream

if TYPE_CHECKING:
    from dualws.contract import Server

#: Seconds between two looks at how much waits in all websockets.
_LOOK = 2.0
#: Seconds between two looks for peers that have waited long enough.
_TURN = 0.05
#: New requests are taken again when less than this part of the limit waits.
_RELIEF = 7 / 8


class Limits:
    """Counts what must be counted.

    :param server: whose limits they are
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        config = self.config
        #: whether new requests are refused
        self.full = False
        self.addresses = Counter(config.max_connections_per_address)
        self.handshakes = Counter(config.max_handshakes)
        #: whether the requests are counted
        self.counts_requests = bool(self.addresses.limit or self.handshakes.limit)
        #: what waits for slow peers; None when that has no limit
        self.account = Account(config.max_buffered) if config.max_buffered else None
        self._limited = bool(
            config.max_message_rate or config.max_byte_rate or config.websocket_idle_timeout
        )
        self._received = 0
        self._homes: dict[Connection, str] = {}
        self._waiting: dict[LimitedConnection, float] = {}
        self._timers: dict[str, Timer] = {}

    @property
    def config(self) -> ServerConfig:
        return self._server.config

    @property
    def buffered(self) -> int:
        """Bytes that wait in all websockets together, for peers and for handlers."""
        return self._received + (0 if self.account is None else self.account.total)

    # -- the life of the server ----------------------------------------------------

    def begin(self) -> None:
        """Connections are accepted from now on."""
        lock = self._server.runtime.lock
        for counted in (self.addresses, self.handshakes, self.account):
            if counted is not None:
                counted.lock = lock()
        if self.account is not None:
            self.account.changed = self._judge
            self._every(_LOOK, "memory", self._look)
        idle = self.config.websocket_idle_timeout
        if idle:
            self._every(min(idle / 4, 5.0), "idle", self._close_idle)

    def end(self) -> None:
        """The server is ending."""
        for timer in tuple(self._timers.values()):
            timer.cancel()

    def _every(self, period: float, name: str, look: Callable[[], object]) -> None:
        def turn() -> None:
            look()
            self._timers[name] = self._server.runtime.call_later(period, turn)

        self._timers[name] = self._server.runtime.call_later(period, turn)

    # -- websockets ----------------------------------------------------------------

    def new_connection(self, kind: type[Connection], deflate: Deflate | None) -> Connection:
        """The connection of a websocket that is about to be accepted.

        :param kind: its class where it has no limits of its own
        """
        size = self.config.max_message_size
        if self._limited:
            stream = PacedStream(size, deflate=deflate)
            return limited(kind)(self._server, stream, deflate)
        return kind(self._server, Stream(size, deflate=deflate), deflate)

    def answered(self, environ: Environ) -> None:
        """The handshake of a request is about to be answered."""
        place: Place | None = environ.get(ENVIRON_PLACE)
        if place is not None:
            place.answered()

    def accepted(self, connection: Connection, transport: Transport, environ: Environ) -> None:
        """A websocket was accepted: from now on it is what counts for its address."""
        if self.account is not None and hasattr(transport, "account"):
            transport.account = self.account
            if transport.buffered:  # of the 101
                self.account.add(transport.buffered)
        place: Place | None = environ.get(ENVIRON_PLACE)
        if place is not None and (address := place.hand_over()):
            self._homes[connection] = address

    def lost(self, connection: Connection) -> None:
        """A websocket's connection is lost."""
        if self._homes:
            address = self._homes.pop(connection, None)
            if address is not None:
                self.addresses.leave(address)
        if isinstance(connection, LimitedConnection):
            self._waiting.pop(connection, None)

    # -- what waits in memory ------------------------------------------------------

    def _look(self) -> None:
        self._received = sum(connection.received for connection in tuple(self._server.connections))
        self._judge()

    def _judge(self) -> None:
        """Decide whether there is room for more."""
        limit = self.config.max_buffered
        total = self.buffered
        if total > limit:
            if not self.full:
                self.full = True
                self._allow()
                # Not at once: locks may be held here.
                self._server.runtime.call_later(0, self._say_full, total)
        elif self.full and total <= limit * _RELIEF:
            self.full = False
            self._allow()

    def _allow(self) -> None:
        """Let as much wait for each slow peer as there is room for; from any thread, at once."""
        while True:
            full = self.full
            for connection in tuple(self._server.connections):
                connection.allow(0 if full else self.config.send_buffer_size)
            if full is self.full:
                return  # else another thread has judged otherwise meanwhile

    def _say_full(self, total: int) -> None:
        refusals.note(
            "buffers",
            "%d bytes wait in websockets, over max_buffered=%d: new requests are refused, and "
            "websockets whose peers are slow are closed when more is sent to them",
            total,
            self.config.max_buffered,
        )

    # -- peers that send too much, or nothing --------------------------------------

    def wait(self, connection: LimitedConnection, until: float) -> None:
        """Let *connection* go on at the monotonic time *until*; from any thread."""
        self._waiting[connection] = until
        if "turn" not in self._timers:
            self._timers["turn"] = self._server.runtime.call_later(_TURN, self._turn)

    def _turn(self) -> None:
        self._timers.pop("turn", None)
        now = time.monotonic()
        for connection, until in self._waiting.copy().items():
            if until <= now:
                self._waiting.pop(connection, None)
                connection.go_on()
        if self._waiting and "turn" not in self._timers:
            self._timers["turn"] = self._server.runtime.call_later(_TURN, self._turn)

    def _close_idle(self) -> None:
        limit = self.config.websocket_idle_timeout
        before = time.monotonic() - limit
        for connection in tuple(self._server.connections):
            if (
                isinstance(connection, LimitedConnection)
                and connection.last_message < before
                and not connection.closed
            ):
                refusals.note(
                    "idle", "closing websockets with %d: no message for %g s", IDLE, limit
                )
                connection.close(IDLE, f"no message for {limit:g} s")
