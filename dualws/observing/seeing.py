"""What happened: each request and each websocket, counted, logged and traced in one place.

Law: *called once for a request, twice for a websocket, never for a message*. What messages
cost is read from the connections' own counters when somebody asks.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from dualws.connection import Connection
from dualws.contract import ENVIRON_HANDSHAKE_ERROR, ENVIRON_RAW_SOCKET, ENVIRON_WEBSOCKET, Environ
from dualws.observing import entries
from dualws.observing.access import to_logger
from dualws.observing.figures import Counters, Figures, key
from dualws.observing.timed import TimedConnection

if TYPE_CHECKING:
    from dualws.contract import Server
    from dualws.faces import WebSocket
    from dualws.observing.tracing import Tracing

#: Other methods are a client's invention, and would be a label each.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})
#: Handshakes that were answered like any other request, by status.
_REFUSALS = {403: "forbidden", 503: "unavailable"}
#: Websockets that are looked at before the loop gets a turn.
_BATCH = 500
_BREATH = 0.0005


class Record(NamedTuple):
    """What is kept of an open websocket.

    :param environ: its request
    :param begun: when it was accepted, on the monotonic clock
    :param span: its span; None without OpenTelemetry
    """

    environ: Environ
    begun: float
    span: Any


class Seeing:
    """Sees what happens in one server.

    :param server: the server
    :param tracing: ends the spans of websockets; None without OpenTelemetry
    """

    def __init__(self, server: Server, tracing: Tracing | None) -> None:
        self._server = server
        self._tracing = tracing
        config = server.config
        self._log = server.on_access
        if self._log is None and config.access_log:
            self._log = to_logger(config.access_log_format)
        self.counters = Counters(server.runtime.lock())
        #: what websockets are made of here
        self.connection_type = TimedConnection if config.metrics_bind else Connection

    # -- requests ------------------------------------------------------------------

    def request_done(self, environ: Environ, status: str, length: int, begun: float) -> None:
        """A request is over, or its connection is the application's no more.

        :param environ: its environ
        :param status: status line of the answer, ``200 OK``
        :param length: bytes of the answer's body
        :param begun: when its head had come, on the monotonic clock
        """
        websocket = environ.get(ENVIRON_WEBSOCKET)
        if websocket is not None and websocket.accepted:
            return  # seen by socket_opened()
        seconds = time.monotonic() - begun
        code = int(status[:3])
        counters = self.counters
        with counters.lock:
            self._count_request(environ, code)
            counters.observe("dualws_http_request_seconds", seconds)
            counters.count("dualws_http_sent_bytes_total", by=length)
            if websocket is not None:
                offer = environ.get(ENVIRON_RAW_SOCKET)
                taken = offer is not None and offer.taken
                outcome = "taken" if taken else _REFUSALS.get(code, "answered")
                counters.count("dualws_handshakes_total", outcome)
            elif ENVIRON_HANDSHAKE_ERROR in environ:
                counters.count("dualws_handshakes_total", "invalid")
        if self._tracing is not None:
            self._tracing.answered(environ, code)
        if self._log is not None:
            self._log(
                _entry(entries.REQUEST, environ, status=code, length=length, seconds=seconds),
                environ,
            )

    def _count_request(self, environ: Environ, code: int) -> None:
        method = environ["REQUEST_METHOD"]
        method = method if method in _METHODS else "other"
        self.counters.count("dualws_http_requests_total", method, str(code))

    # -- websockets ----------------------------------------------------------------

    def socket_opened(self, websocket: WebSocket, connection: Connection) -> None:
        """A handshake was answered with 101; nothing has been read from the websocket yet."""
        environ = websocket.environ
        span = None if self._tracing is None else self._tracing.keep(environ)
        connection.seen = Record(environ, time.monotonic(), span)
        with self.counters.lock:
            self._count_request(environ, 101)
            self.counters.count("dualws_handshakes_total", "accepted")
        if self._log is not None:
            identity = websocket.identity
            user = "" if identity is None else identity.user or ""
            self._log(_entry(entries.OPEN, environ, status=101, user=user), environ)

    def socket_closed(self, connection: Connection) -> None:
        """A websocket's connection is lost: it is no longer one of the server's."""
        counters = self.counters
        record, connection.seen = connection.seen, None
        seconds = 0.0 if record is None else time.monotonic() - record.begun
        with counters.lock:
            if connection in self._server.connections:
                self._server.connections.discard(connection)
                _add_traffic(counters, connection)
                counters.count("dualws_closes_total", str(connection.close_code))
                counters.observe("dualws_connection_seconds", seconds)
        if record is None:
            return
        if self._tracing is not None and record.span is not None:
            self._tracing.end(record.span, connection)
        if self._log is not None:
            identity = connection.identity
            entry = _entry(
                entries.CLOSE,
                record.environ,
                status=101,
                length=connection.bytes_out,
                seconds=seconds,
                user="" if identity is None else identity.user or "",
            )
            entry.code = connection.close_code
            entry.reason = connection.close_reason
            entry.messages_in = connection.messages_in
            entry.messages_out = connection.messages_out
            entry.bytes_in = connection.bytes_in
            self._log(entry, record.environ)

    # -- of the loop and the handlers ------------------------------------------------

    def handled(self, seconds: float) -> None:
        """A handler had a message for so long."""
        with self.counters.lock:
            self.counters.observe("dualws_handler_seconds", seconds)

    def lagged(self, seconds: float) -> None:
        """The loop ran a timer so late."""
        with self.counters.lock:
            self.counters.observe("dualws_loop_lag_seconds", seconds)

    def blocked(self) -> None:
        """The loop has been blocked for longer than it should be."""
        with self.counters.lock:
            self.counters.count("dualws_loop_blocked_total")

    # -- figures -------------------------------------------------------------------

    def figures(self) -> Figures:
        """All figures of this process now; in a real thread that may wait."""
        server = self._server
        with self.counters.lock:
            live = tuple(server.connections)
            figures = self.counters.copy()
            for reason, number in tuple(server.drops.items()):
                figures.counters[key("dualws_drops_total", reason)] = number
        messages_in = messages_out = bytes_in = bytes_out = inbox = outbox = paused = 0
        waiter = server.runtime.waiter()
        for number, connection in enumerate(live, 1):
            messages_in += connection.messages_in
            messages_out += connection.messages_out
            bytes_in += connection.bytes_in
            bytes_out += connection.bytes_out
            waiting, unsent, is_paused = connection.waiting
            inbox += waiting
            outbox += unsent
            paused += is_paused
            if not number % _BATCH:
                # The interpreter would let the loop wait for milliseconds.
                waiter.wait(_BREATH)
        counters = figures.counters
        for name, value in (
            ("dualws_messages_received_total", messages_in),
            ("dualws_messages_sent_total", messages_out),
            ("dualws_received_bytes_total", bytes_in),
            ("dualws_sent_bytes_total", bytes_out),
        ):
            counters[name] = counters.get(name, 0) + value
        figures.gauges = {
            "dualws_workers": 1,
            "dualws_workers_ready": not server.draining,
            "dualws_connections": len(live),
            "dualws_raw_sockets": len(server.raw_sockets),
            "dualws_inbox_messages": inbox,
            "dualws_outbox_bytes": outbox,
            "dualws_paused_connections": paused,
            **server.figures(),
        }
        return figures


def _add_traffic(counters: Counters, connection: Connection) -> None:
    counters.count("dualws_messages_received_total", by=connection.messages_in)
    counters.count("dualws_messages_sent_total", by=connection.messages_out)
    counters.count("dualws_received_bytes_total", by=connection.bytes_in)
    counters.count("dualws_sent_bytes_total", by=connection.bytes_out)


def _entry(
    event: str,
    environ: Environ,
    *,
    status: int,
    length: int = 0,
    seconds: float = 0.0,
    user: str = "",
) -> entries.Entry:
    return entries.Entry(
        event=event,
        address=environ["REMOTE_ADDR"],
        user=user or environ.get("REMOTE_USER") or "",
        method=environ["REQUEST_METHOD"],
        target=environ["RAW_URI"],
        protocol=environ["SERVER_PROTOCOL"],
        status=status,
        length=length,
        referer=environ.get("HTTP_REFERER", ""),
        agent=environ.get("HTTP_USER_AGENT", ""),
        seconds=seconds,
    )
