"""Spans of requests and websockets, by the rules of OpenTelemetry."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from support.crowd import ask, open_socket
from support.frames import CLOSE, build, close_payload, read_frame
from support.server import LiveServer

from .conftest import Serve

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
FROM = ("traceparent", f"00-{TRACE}-{PARENT}-01")


def span(server: LiveServer, path: str, name: str = "GET") -> Any:
    """The span of *path*, once it has ended."""
    found = server.stdout.wait_for(
        rf'(?m)^span ({{"name": "{name}".*"url.path": "{re.escape(path)}".*)$'
    )
    assert found is not None, server.output()
    return json.loads(found[1])


def test_a_request(serve_app: Serve) -> None:
    server = serve_app("support.traced_site")
    with server.connect() as client:
        fields = ("Host", server.netloc), ("User-Agent", "me"), FROM
        client.send_request("GET", "/status/404/?a=1", *fields)
        assert client.read_response().status == 404
    seen = span(server, "/status/404/")
    assert seen["kind"] == "SpanKind.SERVER"
    assert seen["context"]["trace_id"] == f"0x{TRACE}"
    assert seen["parent_id"] == f"0x{PARENT}"
    assert seen["status"]["status_code"] == "UNSET"
    port = seen["attributes"].pop("client.port")
    assert isinstance(port, int)
    assert seen["attributes"] == {
        "http.request.method": "GET",
        "http.response.status_code": 404,
        "url.path": "/status/404/",
        "url.query": "a=1",
        "url.scheme": "http",
        "network.protocol.name": "http",
        "network.protocol.version": "1.1",
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "client.address": "127.0.0.1",
        "user_agent.original": "me",
    }


def test_a_request_behind_a_proxy_is_the_clients(serve_app: Serve) -> None:
    server = serve_app("support.traced_site", "--trusted-proxies", "127.0.0.1")
    with server.connect() as client:
        fields = ("Host", server.netloc), ("X-Forwarded-For", "192.0.2.7")
        client.send_request("GET", "/status/204/", *fields)
        assert client.read_response().status == 204
    about = span(server, "/status/204/")["attributes"]
    assert about["client.address"] == "192.0.2.7"
    assert "client.port" not in about


def test_a_request_that_fails(serve_app: Serve) -> None:
    server = serve_app("support.traced_site")
    with server.connect() as client:
        client.send_request("GET", "/crash/", ("Host", server.netloc))
        assert client.read_response().status == 500
    server.expect_traceback("crash")
    seen = span(server, "/crash/")
    assert seen["status"]["status_code"] == "ERROR"
    assert seen["attributes"]["error.type"] == "500"


@pytest.mark.parametrize(
    "path", ["/ws/echo/", "/ws/async/", "/ws/events/", "/ws/ws4py/", "/ws/inside/"]
)
def test_a_websocket_is_one_span_from_its_handshake_to_its_end(serve_app: Serve, path: str) -> None:
    server = serve_app("support.traced_site")
    with open_socket(server, path, FROM) as client:
        assert ask(client, b"hello") == "hello"
        server.get("/status/204/")
        span(server, "/status/204/")
        assert path not in server.stdout.text()
        client.send(build(CLOSE, close_payload(1000)))
        read_frame(client)
    seen = span(server, path)
    assert seen["parent_id"] == f"0x{PARENT}"
    assert seen["attributes"]["http.response.status_code"] == 101
    assert seen["attributes"]["network.protocol.name"] == "websocket"
    about = {k: v for k, v in seen["attributes"].items() if k.startswith("dualws.websocket.")}
    assert about == {
        "dualws.websocket.close_code": 1000,
        "dualws.websocket.close_reason": "",
        "dualws.websocket.messages_received": 1,
        "dualws.websocket.messages_sent": 1,
        "dualws.websocket.bytes_received": 11 + 8,
        "dualws.websocket.bytes_sent": 7 + 4,
    }


@pytest.mark.parametrize("style", ["blocking", "async", "events"])
def test_what_a_handler_traces_is_the_websockets_child(serve_app: Serve, style: str) -> None:
    server = serve_app("support.traced_site")
    path = f"/observing/traced/{style}/"
    with open_socket(server, path, FROM) as client:
        own = json.loads(ask(client))
    assert own["trace"] == TRACE
    assert span(server, path)["context"]["span_id"] == f"0x{own['parent']}"


def test_one_request_is_no_parent_of_the_next(serve_app: Serve) -> None:
    """Nor of one on the same connection."""
    server = serve_app("support.traced_site")
    with server.connect() as client:
        for path, fields in (("/status/200/", (FROM,)), ("/status/201/", ())):
            client.send_request("GET", path, ("Host", server.netloc), *fields)
            client.read_response()
    assert span(server, "/status/200/")["parent_id"] == f"0x{PARENT}"
    second = span(server, "/status/201/")
    assert second["parent_id"] is None
    assert second["context"]["trace_id"] != f"0x{TRACE}"


def test_no_spans_when_they_are_not_wanted(serve_app: Serve) -> None:
    server = serve_app("support.traced_site", "--no-tracing")
    assert server.get("/status/200/").status == 200
    server.stop()
    assert "span {" not in server.output()


def test_nobody_pays_without_a_provider(serve_app: Serve) -> None:
    """Installed it is here, as it is in many environments where nobody uses it."""
    server = serve_app("support.project.wsgi")
    assert server.get_json("/observing/seen/") == {"seeing": False, "opentelemetry": False}
