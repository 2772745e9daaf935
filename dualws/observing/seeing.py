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
from dualws.observing.access import guarded, to_logger
from dualws.observing.catalog import METHODS
from dualws.observing.figures import Counters, Figures, key
from dualws.observing.timed import TimedConnection
from dualws.protocol.handshake import is_attempted

if TYPE_CHECKING:
    from dualws.contract import Server
    from dualws.faces import WebSocket
    from dualws.observing.tracing import Tracing

#: Handshakes that were answered like any other request, by status.
_REFUSALS = {403: "forbidden", 429: "limited", 503: "unavailable"}
#: Close codes of one's own that are told by number, as those below 3000 are; of others there are
#: thousands, and a peer may invent one for each of its websockets. Here as numbers: the first
#: one's module needs Django.
OWN_CODES = frozenset({4401, 4408})
#: Most that is told of a request line that is none, or too long.
_LINE = 1024
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
        log = server.on_access
        if log is None and config.access_log:
            log = to_logger(config.access_log_format)
        self._log = None if log is None else guarded(log)
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
        if websocket is None:
            # None stands there once its handler has ended, or because the application put it there.
            accepted = ENVIRON_WEBSOCKET in environ and status.startswith("101")
        else:
            accepted = websocket.accepted
        if accepted:
            return  # seen by socket_opened()
        offer = None if websocket is None else environ.get(ENVIRON_RAW_SOCKET)
        taken = offer is not None and offer.taken
        seconds = time.monotonic() - begun
        code = int(status[:3])
        counters = self.counters
        with counters.lock:
            self._count_request(environ, code)
            if not taken:  # else it is the life of a socket
                counters.observe("dualws_http_request_seconds", seconds)
            counters.count("dualws_http_sent_bytes_total", by=length)
            if websocket is not None:
                outcome = "taken" if taken else _REFUSALS.get(code, "answered")
                counters.count("dualws_handshakes_total", outcome)
            elif ENVIRON_HANDSHAKE_ERROR in environ:
                counters.count("dualws_handshakes_total", "invalid")
            elif code in _REFUSALS and is_attempted(environ):
                # Refused by a limit, before anybody looked at it.
                counters.count("dualws_handshakes_total", _REFUSALS[code])
        if self._tracing is not None:
            self._tracing.answered(environ, code)
        if self._log is not None:
            self._log(
                _entry(entries.REQUEST, environ, status=code, length=length, seconds=seconds),
                environ,
            )

    def _count_request(self, environ: Environ, code: int) -> None:
        method = environ["REQUEST_METHOD"]
        method = method if method in METHODS else "other"
        self.counters.count("dualws_http_requests_total", method, str(code))

    def request_refused(
        self, status: str, peer: Any, head: bytes, begun: float | None, length: int
    ) -> None:
        """A request ended before the application saw it; see :meth:`Server.refused`."""
        start = head.lstrip(b"\r\n")[: _LINE + 1].partition(b"\n")[0]
        line = start.rstrip(b"\r").decode("latin-1")
        method, target, protocol = "", line[:_LINE], ""
        words = line.split(" ")
        if len(words) == 3 and words[2].startswith("HTTP/") and len(line) <= _LINE:
            method, target, protocol = words
        environ: Environ = {
            "REQUEST_METHOD": method,
            "RAW_URI": target,
            "PATH_INFO": target.partition("?")[0] if method else "",
            "QUERY_STRING": target.partition("?")[2] if method else "",
            "SERVER_PROTOCOL": protocol,
            "REMOTE_ADDR": peer[0] if isinstance(peer, tuple) else "",
            "REMOTE_PORT": str(peer[1]) if isinstance(peer, tuple) else "",
        }
        code = int(status[:3])
        counters = self.counters
        with counters.lock:
            self._count_request(environ, code)
            counters.count("dualws_http_sent_bytes_total", by=length)
        if self._log is not None:
            seconds = 0.0 if begun is None else time.monotonic() - begun
            entry = _entry(entries.REQUEST, environ, status=code, length=length, seconds=seconds)
            self._log(entry, environ)

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
                counters.count("dualws_closes_total", _code(connection.close_code))
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


def _code(code: int | None) -> str:
    """How a close code is told."""
    if code is None or code < 3000 or code in OWN_CODES:
        return str(code)
    return "application"


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
