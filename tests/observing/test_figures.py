"""The figures that a server shows to Prometheus, and who it answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from dualws import auth
from dualws.limits.connection import IDLE
from dualws.observing.catalog import METRICS
from dualws.observing.seeing import OWN_CODES
from support import frames
from support.crowd import ask, open_socket
from support.frames import CLOSE, TEXT, build, close_payload, read_frame
from support.raw import RawClient
from support.timing import SCALE, eventually

from .conftest import Observed, Serve

Observe = Callable[..., Observed]


def until(observed: Observed, name: str, value: float) -> dict[str, float]:
    """The figures once *name* has *value*."""

    def look() -> dict[str, float] | None:
        figures = observed.figures()
        return figures if figures.get(name) == value else None

    shown = eventually(look, what=f"{name} never became {value}")
    assert shown is not None
    return shown


def test_every_figure_is_there_and_nothing_else(observe: Observe) -> None:
    observed = observe()
    text = observed.get("/metrics").body.decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    about = families.pop("dualws_backend_info")
    assert about.samples[0].labels["backend"] == observed.server.backend
    assert set(families) == {metric.name.removesuffix("_total") for metric in METRICS}
    for metric in METRICS:
        family = families[metric.name.removesuffix("_total")]
        assert family.type == metric.kind
        assert family.documentation == metric.help


def test_websockets(observe: Observe) -> None:
    observed = observe()
    with open_socket(observed.server, "/ws/echo/") as client:
        assert ask(client, b"hello") == "hello"
        figures = observed.figures()
        assert figures["dualws_connections"] == 1
        assert figures['dualws_handshakes_total{outcome="accepted"}'] == 1
        assert figures["dualws_messages_received_total"] == 1
        assert figures["dualws_messages_sent_total"] == 1
        assert figures["dualws_received_bytes_total"] == 11
        assert figures["dualws_sent_bytes_total"] == 7
        client.send(build(CLOSE, close_payload(4001)))
        assert read_frame(client).close_code == 4001
    until(observed, "dualws_connections", 0)
    figures = until(observed, "dualws_handler_seconds_count", 1)
    assert figures['dualws_closes_total{code="application"}'] == 1
    assert figures["dualws_messages_received_total"] == 1
    assert figures["dualws_received_bytes_total"] == 11 + 8
    assert figures["dualws_sent_bytes_total"] == 7 + 4
    assert figures["dualws_connection_seconds_count"] == 1
    assert figures['dualws_http_requests_total{method="GET",status="101"}'] == 1


def test_messages_are_counted_in_every_way_to_send_them(observe: Observe) -> None:
    observed = observe()
    paths = ("/ws/echo/", "/ws/async/", "/ws/events/", "/ws/ws4py/", "/ws/inside/", "/ws/topic/")
    for number, path in enumerate(paths, 1):
        with open_socket(observed.server, path + "?topic=x") as client:
            if "topic" in path:
                assert read_frame(client).payload == b"subscribed"
            assert ask(client, b"hello") == "hello"
            figures = observed.figures()
            assert figures["dualws_messages_received_total"] == number
            extra = "topic" in path
            assert figures["dualws_messages_sent_total"] == number + extra
            eventually(
                lambda past=number - 1: observed.figures()["dualws_handler_seconds_count"] >= past,
                what="the handlers of those before are not timed",
            )
    until(observed, "dualws_handler_seconds_count", len(paths))


def test_handshakes_by_outcome(observe: Observe) -> None:
    observed = observe("--allowed-origins", "https://good.example")
    server = observed.server
    for path, origin, outcome in (
        ("/ws/refuse/403/", None, "forbidden"),
        ("/ws/echo/", "https://evil.example", "forbidden"),
        ("/ws/refuse/503/", None, "unavailable"),
        ("/ws/refuse/302/", None, "answered"),
        ("/status/200/", None, "answered"),
    ):
        before = observed.figures().get(f'dualws_handshakes_total{{outcome="{outcome}"}}', 0)
        with server.connect() as client:
            fields = [("Origin", origin)] if origin else []
            assert frames.handshake(client, path, server.netloc, *fields).status != 101
        until(observed, f'dualws_handshakes_total{{outcome="{outcome}"}}', before + 1)
    with server.connect() as client:
        client.send_request(
            "GET",
            "/ws/echo/",
            ("Host", server.netloc),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
        )
        assert client.read_response().status == 400
    figures = until(observed, 'dualws_handshakes_total{outcome="invalid"}', 1)
    assert figures['dualws_http_requests_total{method="GET",status="400"}'] == 1


def test_close_codes_of_peers_are_no_labels(observe: Observe) -> None:
    observed = observe("--websocket-idle-timeout", str(0.5 * SCALE))
    for code in (3000, 4001, 4999, 1001):
        with open_socket(observed.server, "/ws/echo/") as client:
            client.send(build(CLOSE, close_payload(code)))
            assert read_frame(client).close_code == code
    with open_socket(observed.server, "/ws/echo/") as client:
        assert read_frame(client).close_code == IDLE
        client.send(build(CLOSE, close_payload(IDLE)))
        figures = until(observed, f'dualws_closes_total{{code="{IDLE}"}}', 1)
    closes = {name: value for name, value in figures.items() if "dualws_closes_total" in name}
    assert closes == {
        'dualws_closes_total{code="1001"}': 1,
        f'dualws_closes_total{{code="{IDLE}"}}': 1,
        'dualws_closes_total{code="application"}': 3,
    }
    assert {auth.CODE, IDLE} == OWN_CODES


def test_the_life_of_a_taken_socket_is_no_request(serve_app: Serve, backend: str) -> None:
    observed = Observed(serve_app("support.taken_site", "--metrics-bind", "127.0.0.1:0"))
    with observed.server.connect() as client:
        fields = ("Host", "x"), ("Upgrade", "websocket"), ("Connection", "Upgrade")
        key = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", "13")
        client.send_request("GET", "/", *fields, *key)
        assert client.read(6) == b"yours\n"
        assert observed.figures()["dualws_raw_sockets"] == 1
    figures = until(observed, 'dualws_handshakes_total{outcome="taken"}', 1)
    assert figures["dualws_http_request_seconds_count"] == 0


def test_requests(observe: Observe) -> None:
    observed = observe()
    body = observed.server.get("/status/404/").body
    with observed.server.connect() as client:
        client.send_request("BREW", "/status/200/", ("Host", "x"))
        body += client.read_response().body
    figures = until(observed, 'dualws_http_requests_total{method="other",status="403"}', 1)
    assert figures['dualws_http_requests_total{method="GET",status="404"}'] == 1
    assert figures["dualws_http_request_seconds_count"] == 2
    assert figures["dualws_http_sent_bytes_total"] == len(body)


def test_queues_and_drops(observe: Observe) -> None:
    """A handler that does not read, and a peer that does not."""
    observed = observe("--send-buffer-size", "65536", "--send-timeout", str(0.5 * SCALE))
    server = observed.server
    with open_socket(server, "/ws/busy/?key=wait") as client:
        client.send(build(TEXT, b"x") * 40)
        figures = until(observed, "dualws_paused_connections", 1)
        assert figures["dualws_inbox_messages"] >= 32
        server.get("/release/", key="wait")
        until(observed, "dualws_inbox_messages", 0)
    with open_socket(server, "/ws/flood/?key=flood"):
        eventually(lambda: observed.figures()["dualws_outbox_bytes"] > 65536, what="no queue")
        until(observed, 'dualws_drops_total{reason="slow"}', 1)
    until(observed, "dualws_connections", 0)


def test_the_loop_beats(observe: Observe) -> None:
    observed = observe("--blocked-warning", "0")
    eventually(
        lambda: observed.figures()["dualws_loop_lag_seconds_count"] > 2, what="the loop is silent"
    )


def test_openmetrics_for_who_asks_for_it(observe: Observe) -> None:
    response = observe().get("/metrics", ("Accept", "application/openmetrics-text; version=1.0.0"))
    assert (response.get("Content-Type") or "").startswith("application/openmetrics-text")
    assert response.body.endswith(b"# EOF\n")


def test_the_endpoint_is_no_place_for_others(observe: Observe) -> None:
    observed = observe("--metrics-path", "/figures?no", "--live-path", "/healthz")
    assert observed.get("/metrics").status == 404
    assert observed.get("/healthz?verbose").status == 200
    assert observed.get("/ready", method="POST").status == 405
    assert observed.get("/ready", method="HEAD").body == b""
    with RawClient(observed.address) as client:
        client.send(b"GET /ready HTTP/1.1\r\n" + b"x: y\r\n" * 5000)
        client.assert_closed()
    assert observed.get("/ready").status == 200


def test_figures_of_others_that_cannot_be_had(observe: Observe, tmp_path: Path) -> None:
    """Its own alone would look as if the others had counted nothing."""
    observed = observe("--metrics-folder", str(tmp_path / "figures"))
    assert observed.get("/metrics").status == 200
    (tmp_path / "figures").rename(tmp_path / "elsewhere")
    response = observed.get("/metrics")
    assert (response.status, response.body) == (
        503,
        b"the figures of the other workers are not to be had\n",
    )
    assert observed.server.stderr.wait_for("figures cannot be shared with other workers")
    (tmp_path / "elsewhere").rename(tmp_path / "figures")
    assert observed.get("/metrics").status == 200


def test_it_answers_while_everybody_is_busy(observe: Observe) -> None:
    """All threads of HTTP, and clients of the endpoint that say nothing."""
    observed = observe("--threads", "2")
    silent = [RawClient(observed.address) for _ in range(5)]
    busy = []
    for _ in range(4):
        client = observed.server.connect()
        client.send_request("GET", "/endless/?key=busy", ("Host", "x"))
        busy.append(client)
    eventually(
        lambda: observed.figures()["dualws_http_requests_active"] >= 2, what="nobody is busy"
    )
    assert observed.get("/live").status == 200
    if observed.server.backend == "tornado":
        eventually(
            lambda: observed.figures()["dualws_http_requests_queued"] == 2, what="nobody waits"
        )
    for client in (*silent, *busy):
        client.close()
