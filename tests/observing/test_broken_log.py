"""An access log of the project that raises: requests and websockets go on as without it."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from support.crowd import ask, open_socket
from support.frames import CLOSE, build, close_payload, read_frame
from support.raw import RawClient
from support.server import LiveServer
from support.timing import eventually

from .conftest import Serve

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"broken": {"()": "support.broken_log.Broken"}},
    "loggers": {"dualws.access": {"filters": ["broken"], "level": "INFO"}},
}
#: What ends before the application sees it, and the status of the answer.
REFUSED = {
    b"nonsense\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"x" * 9000: 431,
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200\r\n\r\n": 413,
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n" + bytes(255): 413,
    # Of which there can be no environ.
    b"GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n": 400,
}


def serve(serve_app: Serve, *options: str) -> LiveServer:
    return serve_app(
        *("support.project.wsgi", "--access-log", *options),
        env={"DUALWS_TEST_SETTINGS": json.dumps({"LOGGING": LOGGING})},
    )


def check(server: LiveServer) -> None:
    """It logged that the log fails, and no other failure."""
    server.expect_traceback("a filter of the project fails")
    server.accept_traceback("")
    text = server.stderr.text()
    assert text.count(" ERROR ") == text.count("A line of the access log cannot be written")
    for word in ("Uncaught", "ignored", "Unclosed", "never retrieved"):
        assert word not in text


def sockets(server: LiveServer) -> int:
    """How many it holds."""
    count = 0
    for descriptor in Path(f"/proc/{server.pid}/fd").iterdir():
        # One may be closed meanwhile.
        with contextlib.suppress(FileNotFoundError):
            count += os.readlink(descriptor).startswith("socket:")
    return count


def test_requests_and_refusals(serve_app: Serve) -> None:
    server = serve(serve_app, "--max-header-size", "2048", "--max-body-size", "100")
    assert server.get("/status/200/").status == 200
    before = sockets(server)
    for sent, status in REFUSED.items():
        with RawClient(server.address) as client:
            client.send(sent)
            assert client.read_response().status == status
            client.assert_closed()
    assert server.get("/status/200/").status == 200
    eventually(lambda: sockets(server) <= before, what="sockets stay open")
    check(server)


def test_a_websocket_and_one_connection_too_many(serve_app: Serve) -> None:
    server = serve(serve_app, "--max-connections", "1")
    with open_socket(server, "/ws/echo/") as client:
        assert ask(client, b"hello") == "hello"
        before = sockets(server)
        for _ in range(5):
            with server.connect() as one_too_many:
                assert one_too_many.read_response().status == 503
                one_too_many.assert_closed()
        eventually(lambda: sockets(server) <= before, what="sockets stay open")
        assert ask(client, b"again") == "again"
        client.send(build(CLOSE, close_payload(1000)))
        assert read_frame(client).close_code == 1000
        client.assert_closed()
    check(server)
