"""The figures: every name that a server can show, what it means, and how it is counted.

Law: *one list*. What is rendered, the guide's table and the dashboard's queries are compared
with it. Names keep Prometheus's rules: a unit at the end, ``_total`` for what only grows.
"""

from __future__ import annotations

from typing import Final, NamedTuple

COUNTER: Final = "counter"
GAUGE: Final = "gauge"
HISTOGRAM: Final = "histogram"

#: Methods that are told by name. Others are a client's invention, and would be a label each.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})


class Metric(NamedTuple):
    """One figure.

    :param name: its name, with the unit; a counter's with ``_total``
    :param kind: :data:`COUNTER`, :data:`GAUGE` or :data:`HISTOGRAM`
    :param help: what it says
    :param labels: names of its labels
    :param buckets: upper bounds of a histogram, without infinity
    """

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LIVES = (1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0, 86400.0)
_LAGS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

METRICS: tuple[Metric, ...] = (
    Metric("dualws_workers", GAUGE, "Processes that serve"),
    Metric("dualws_workers_ready", GAUGE, "Processes that take new connections"),
    Metric("dualws_connections", GAUGE, "Open websockets"),
    Metric("dualws_raw_sockets", GAUGE, "Connections whose socket the application has taken"),
    Metric("dualws_http_connections", GAUGE, "Connections that speak HTTP, idle ones included"),
    Metric("dualws_http_requests_active", GAUGE, "HTTP requests that are being answered"),
    Metric("dualws_http_requests_queued", GAUGE, "HTTP requests that wait for a thread"),
    Metric("dualws_handshakes_total", COUNTER, "Websocket handshakes by outcome", ("outcome",)),
    Metric("dualws_messages_received_total", COUNTER, "Messages from websockets"),
    Metric("dualws_messages_sent_total", COUNTER, "Messages to websockets"),
    Metric("dualws_received_bytes_total", COUNTER, "Bytes of frames from websockets"),
    Metric("dualws_sent_bytes_total", COUNTER, "Bytes of frames to websockets"),
    Metric("dualws_inbox_messages", GAUGE, "Messages that wait for a handler"),
    Metric("dualws_outbox_bytes", GAUGE, "Bytes that wait for websockets to read them"),
    Metric("dualws_paused_connections", GAUGE, "Websockets not read from: their inbox is full"),
    Metric("dualws_closes_total", COUNTER, "Websockets that have ended, by close code", ("code",)),
    Metric("dualws_drops_total", COUNTER, "Websockets given up, by reason", ("reason",)),
    Metric("dualws_connection_seconds", HISTOGRAM, "Lives of websockets", (), _LIVES),
    Metric(
        "dualws_handler_seconds",
        HISTOGRAM,
        "Time from a message that a handler takes to its asking for the next",
        (),
        _FAST,
    ),
    Metric("dualws_http_requests_total", COUNTER, "HTTP requests answered", ("method", "status")),
    Metric(
        "dualws_http_request_seconds",
        HISTOGRAM,
        "Time from a request's head to the end of its answer",
        (),
        _FAST,
    ),
    Metric("dualws_http_sent_bytes_total", COUNTER, "Bytes of bodies of HTTP answers"),
    Metric("dualws_loop_lag_seconds", HISTOGRAM, "How late the loop ran a timer", (), _LAGS),
    Metric("dualws_loop_blocked_total", COUNTER, "Times that the loop was blocked too long"),
)

BY_NAME = {metric.name: metric for metric in METRICS}
