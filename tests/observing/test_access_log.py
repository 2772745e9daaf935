"""The access log of real servers: a line for a request, two for a websocket."""

from __future__ import annotations

import json
import re
from typing import Any

from support import frames
from support.crowd import ask, open_socket
from support.frames import CLOSE, build, close_payload, read_frame
from support.member import Member
from support.raw import RawClient
from support.server import LiveServer

from .conftest import Serve

#: Without a LOGGING of its own the project leaves it to the server where the lines go.
QUIET = {"DUALWS_TEST_SETTINGS": json.dumps({"LOGGING": {"version": 1}})}


def serve(serve_app: Serve, format: str) -> LiveServer:
    return serve_app(
        "support.project.wsgi", "--access-log", "--access-log-format", format, env=QUIET
    )


def line(server: LiveServer, pattern: str) -> str:
    """The line of the access log that *pattern* matches from its beginning to its end."""
    found = server.stdout.wait_for(rf"(?m)^{pattern}$")
    assert found is not None, server.output()
    return found[0]


def json_line(server: LiveServer, event: str, target: str) -> Any:
    return json.loads(line(server, rf'{{.*"event": "{event}".*"target": "{re.escape(target)}".*'))


def test_a_request(serve_app: Serve) -> None:
    server = serve(serve_app, "combined")
    with server.connect() as client:
        fields = ("Host", server.netloc), ("User-Agent", 'a "b"'), ("Referer", "http://r/")
        client.send_request("GET", "/status/404/?x=1", *fields)
        length = len(client.read_response().body)
    line(
        server,
        r'127\.0\.0\.1 - - \[[^]]+\] "GET /status/404/\?x=1 HTTP/1\.1" 404 '
        rf'{length} "http://r/" "a \\x22b\\x22"',
    )


def test_a_request_that_the_application_marks_as_no_websocket(serve_app: Serve) -> None:
    server = serve_app("support.apps", "--access-log", "--access-log-format", "json")
    server.get("/marks")
    assert json_line(server, "request", "/marks")["status"] == 200


def test_a_request_as_runserver_prints_it(serve_app: Serve) -> None:
    server = serve(serve_app, "django")
    length = len(server.get("/status/404/").body)
    moment = r"\[\d\d/[A-Z][a-z]{2}/\d{4} \d\d:\d\d:\d\d\]"
    line(server, rf'{moment} "GET /status/404/ HTTP/1\.1" 404 {length}')


def test_a_websocket(serve_app: Serve) -> None:
    server = serve(serve_app, "json")
    with Member(server, "ada").open("/ws/echo/?a=1") as client:
        opened = json_line(server, "open", "/ws/echo/?a=1")
        assert ask(client, b"hello") == "hello"
        assert ask(client, b"again") == "again"
        client.send(build(CLOSE, close_payload(4001, "done")))
        assert read_frame(client).close_code == 4001
    closed = json_line(server, "close", "/ws/echo/?a=1")
    assert opened["pid"] == closed["pid"] == server.pid
    assert opened["status"] == closed["status"] == 101
    assert opened["user"] == closed["user"] == "1"
    assert (closed["code"], closed["reason"]) == (4001, "done")
    assert (closed["messages_in"], closed["messages_out"]) == (2, 2)
    # two texts of 5 bytes and a close frame of 6, with headers and masks; and without masks
    assert closed["bytes_in"] == 2 * (6 + 5) + 6 + 6
    assert closed["bytes_out"] == 2 * (2 + 5) + 2 + 6
    assert 0 < closed["seconds"] < 60


def test_a_websocket_has_no_line_as_a_request(serve_app: Serve) -> None:
    """Whether its handler runs after the request or within it, and however it ends."""
    server = serve(serve_app, "common")
    for path in ("/ws/echo/", "/ws/inside/", "/ws/events/", "/ws/async/", "/ws/ws4py/"):
        with open_socket(server, path) as client:
            assert ask(client, b"hello") == "hello"
            client.reset()
        line(server, rf'127.*"GET {path} HTTP/1\.1" 101 0 websocket=open pid={server.pid}')
        line(server, rf'127.*"GET {path} HTTP/1\.1" 101 7 websocket=close .* code=1006 .*')
    server.get("/status/204/")
    line(server, r'127.*"GET /status/204/ HTTP/1\.1" 204 0')
    assert server.stdout.text().count("HTTP/1.1") == 11


def test_a_refused_handshake_is_a_request(serve_app: Serve) -> None:
    server = serve(serve_app, "common")
    with server.connect() as client:
        assert frames.handshake(client, "/ws/refuse/403/", server.netloc).status == 403
    line(server, r'127.*"GET /ws/refuse/403/ HTTP/1\.1" 403 \d+')


def test_a_client_that_left_before_its_answer(serve_app: Serve) -> None:
    server = serve(serve_app, "common")
    with server.connect() as client:
        client.send_request("GET", "/endless/?key=gone", ("Host", server.netloc))
        client.read_head()
        client.reset()
    line(server, r'127.*"GET /endless/\?key=gone HTTP/1\.1" 200 \d+')


def test_bytes_that_would_end_a_line(serve_app: Serve) -> None:
    server = serve(serve_app, "combined")
    with RawClient(server.address) as client:
        head = b'GET /status/200/?a="\x9b\xe9\\ HTTP/1.1\r\nHost: x\r\nUser-Agent: \x9b31m"\r\n\r\n'
        client.send(head)
        assert client.read_response().status == 200
    line(server, r'127.*"GET /status/200/\?a=\\x22\\x9b\\xe9\\x5c HTTP/1\.1" 200 .*\\x9b31m\\x22"')


def test_no_log_when_it_is_not_asked_for(serve_app: Serve) -> None:
    server = serve_app("support.project.wsgi", env=QUIET)
    server.get("/status/200/")
    with open_socket(server, "/ws/echo/") as client:
        assert ask(client, b"hello") == "hello"
    server.stop()
    assert "HTTP/1.1" not in server.output()
