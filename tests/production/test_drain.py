"""The gentle end of a server: SIGTERM, with everything that may be under way."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.crowd import answer, ask, open_socket
from support.diary import Diary
from support.frames import CLOSE, TEXT, build, close_payload, handshake, read_frame
from support.raw import RawClient
from support.server import LiveServer
from support.timing import QUIET, SCALE, TIMEOUT

Serve = Callable[..., LiveServer]
STYLES = ["blocking", "events", "ws4py", "async", "inside"]
#: Seconds of the window where its length does not matter.
SHORT = str(0.4 * SCALE)


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    """What the server's handlers write."""
    return Diary(tmp_path)


def serve(serve_app: Serve, *options: str) -> LiveServer:
    return serve_app(
        "support.project.wsgi", "--drain-window", SHORT, "--close-timeout", str(SCALE), *options
    )


def close_frame(client: RawClient) -> int | None:
    """The code of the close frame that comes next, which is answered."""
    code = read_frame(client).close_code
    client.send(build(CLOSE, close_payload(code or 1000)))
    client.assert_closed()
    return code


@pytest.mark.parametrize("style", STYLES)
def test_every_handler_is_told_and_comes_to_its_end(
    serve_app: Serve, diary: Diary, style: str
) -> None:
    server = serve(serve_app)
    clients = [open_socket(server, f"/drain/{style}/?key={number}") for number in range(5)]
    for client in clients:
        assert ask(client, b"hello") == "hello"
    server.signal(signal.SIGTERM)
    for client in clients:
        if style in ("events", "ws4py"):
            assert answer(client) == "draining"
        assert close_frame(client) == 1012
        client.close()
    assert server.wait() == 0
    closed = sorted(diary.told("closed"))
    assert closed == [[str(number), 1012, True] for number in range(5)]
    if style in ("events", "ws4py"):
        assert sorted(diary.told("draining")) == [[str(number)] for number in range(5)]
    assert "Traceback" not in server.output()


def test_handlers_can_ask_and_go_on_meanwhile(serve_app: Serve) -> None:
    server = serve(serve_app, "--drain-window", str(60 * SCALE))
    clients = [open_socket(server, "/drain/blocking/") for _ in range(40)]
    assert ask(clients[0], b"who") == f"{server.pid} False"
    server.signal(signal.SIGTERM)
    assert server.stderr.wait_for("draining: 40 websockets and 0 taken sockets within 1.6 s")
    closed = 0
    for client in clients:
        client.send(build(TEXT, b"who"))
        frame = read_frame(client)
        if frame.opcode == CLOSE:
            assert frame.close_code == 1012
            closed += 1
        else:
            assert frame.payload.decode() == f"{server.pid} True"
            assert close_frame(client) == 1012
        client.close()
    assert closed < len(clients)
    assert server.wait() == 0


def test_a_busy_handler_may_finish_its_message(
    serve_app: Serve, diary: Diary, tmp_path: Path
) -> None:
    server = serve(serve_app)
    with open_socket(server, "/drain/slow/") as client:
        client.send(build(TEXT, b"go"))
        diary.wait_for("asked")
        with open_socket(server, "/drain/blocking/") as idle:
            server.signal(signal.SIGTERM)
            assert close_frame(idle) == 1012
        (tmp_path / "go").touch()
        assert answer(client) == "answer"
        assert close_frame(client) == 1012
    assert server.wait() == 0


def test_what_handlers_do_at_their_end_is_waited_for(serve_app: Serve, diary: Diary) -> None:
    server = serve(serve_app)
    with open_socket(server, "/drain/untidy/") as client:
        assert ask(client, b"hello") == "hello"
        server.signal(signal.SIGTERM)
        assert close_frame(client) == 1012
    assert server.wait() == 0
    assert diary.told("tidied") == [[]]


def test_queued_messages_go_out_before_the_close(serve_app: Serve, diary: Diary) -> None:
    server = serve(serve_app, "--send-buffer-size", "10000000", "--close-timeout", str(5 * SCALE))
    client = RawClient(server.address, receive_buffer=4096)
    with client:
        assert handshake(client, "/drain/flood/", server.netloc).status == 101
        client.send(build(TEXT, b"go"))
        diary.wait_for("flooded")
        server.signal(signal.SIGTERM)
        for number in range(40):
            assert read_frame(client).payload == f"{number:08d}".encode() * 8192
        assert close_frame(client) == 1012
    assert server.wait() == 0


def test_http_is_finished(serve_app: Serve, diary: Diary, tmp_path: Path) -> None:
    server = serve(serve_app, "--drain-window", str(5 * SCALE))
    host = ("Host", server.netloc)
    with server.connect() as busy, server.connect() as idle, server.connect() as fresh:
        idle.send_request("GET", "/drain/page/", host)
        assert idle.read_response().get("Connection") is None
        busy.send_request("GET", "/drain/page/?after=go", host)
        diary.wait_for("page", 2)
        with open_socket(server, "/drain/blocking/") as client:
            server.signal(signal.SIGTERM)
            assert close_frame(client) == 1012
        # Both were connected in time: their requests may have been on the way.
        for late in (idle, fresh):
            late.send_request("GET", "/drain/page/", host)
            response = late.read_response()
            assert (response.status, response.get("Connection")) == (200, "close")
            late.assert_closed()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(server.address)
        (tmp_path / "go").touch()
        response = busy.read_response()
        assert (response.status, response.get("Connection")) == (200, "close")
        busy.assert_closed()
    assert server.wait() == 0


def test_a_request_that_is_not_accepted_yet_is_answered(serve_app: Serve) -> None:
    """Whatever the window is: it came before the end began."""
    server = serve(serve_app, "--drain-window", "0")
    server.signal(signal.SIGSTOP)
    clients = [server.connect() for _ in range(20)]
    for client in clients:
        client.send_request("GET", "/drain/page/", ("Host", server.netloc))
    server.signal(signal.SIGTERM)
    server.signal(signal.SIGCONT)
    for client in clients:
        assert client.read_response().status == 200
        client.close()
    assert server.wait() == 0


def test_a_handshake_under_way_is_a_websocket_and_is_closed(serve_app: Serve) -> None:
    server = serve(serve_app, "--drain-window", str(5 * SCALE))
    with server.connect() as client:
        with open_socket(server, "/drain/blocking/") as other:
            server.signal(signal.SIGTERM)
            assert close_frame(other) == 1012
        assert handshake(client, "/drain/blocking/", server.netloc).status == 101
        assert close_frame(client) == 1012
    assert server.wait() == 0


def test_what_does_not_end_is_aborted_at_the_deadline(serve_app: Serve) -> None:
    server = serve(serve_app)
    with open_socket(server, "/drain/stubborn/") as client, server.connect() as request:
        assert answer(client) == "begun"
        request.send_request("GET", "/drain/page/?after=never", ("Host", server.netloc))
        begin = time.monotonic()
        server.signal(signal.SIGTERM)
        assert read_frame(client).close_code == 1012
        assert server.wait() == 0
        assert time.monotonic() - begin < 4.4 * SCALE
    assert "1 handlers, 0 taken sockets and 1 HTTP requests are aborted" in server.stderr.text()


def taken(server: LiveServer, path: str) -> RawClient:
    """A connection whose socket the application has taken."""
    client = server.connect()
    fields = ("Host", server.netloc), ("Upgrade", "websocket"), ("Connection", "Upgrade")
    key = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", "13")
    client.send_request("GET", path, *fields, *key)
    assert client.read(6) == b"yours\n"
    return client


def test_who_has_taken_the_socket_reads_its_end(serve_app: Serve) -> None:
    server = serve_app(
        "support.taken_site", "--drain-window", str(10 * SCALE), "--close-timeout", str(SCALE)
    )
    clients = [taken(server, "/") for _ in range(30)]
    begin = time.monotonic()
    server.signal(signal.SIGTERM)
    seconds = []
    for client in clients:
        assert client.read(8) == b"goodbye\n"
        seconds.append(time.monotonic() - begin)
        client.assert_closed()
        client.close()
    assert server.wait() == 0
    # At moments of their own, as websockets.
    assert seconds[-1] > 0.5
    assert "draining: 0 websockets and 30 taken sockets within 1.2 s" in server.stderr.text()
    assert "aborted" not in server.stderr.text()


def test_who_keeps_the_socket_has_until_the_deadline(serve_app: Serve) -> None:
    server = serve_app(
        "support.taken_site", "--drain-window", str(SCALE), "--close-timeout", str(SCALE / 2)
    )
    with taken(server, "/keep/") as client:
        begin = time.monotonic()
        server.signal(signal.SIGTERM)
        while client.read(6) == b"still\n":
            if time.monotonic() - begin > 1.2 * SCALE:
                break
        assert server.wait() == 0
        assert time.monotonic() - begin > 1.5 * SCALE
    assert "0 handlers, 1 taken sockets and 0 HTTP requests are aborted" in server.stderr.text()


def test_ctrl_c_does_not_wait(serve_app: Serve, diary: Diary) -> None:
    server = serve(serve_app, "--drain-window", str(4 * TIMEOUT))
    with open_socket(server, "/drain/events/") as client, server.connect() as request:
        request.send_request("GET", "/drain/page/?after=never", ("Host", server.netloc))
        diary.wait_for("page")
        server.signal(signal.SIGTERM)
        assert answer(client) == "draining"
        assert close_frame(client) == 1012
        # The websocket has left, and the request alone would hold the drain for all its time.
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(QUIET)
        server.signal(signal.SIGINT)
        assert server.wait() == 0
