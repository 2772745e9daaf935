"""Flask, and flask-sock, whose simple-websocket speaks to the connection's socket itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from compat import guide
from compat.data import digest, large
from compat.libraries import need
from support import frames
from support.crowd import open_socket
from support.frames import BINARY, CLOSE, PING, PONG, TEXT, build, read_frame
from support.server import LiveServer
from support.timing import TIMEOUT, eventually

need("flask", "flask_sock", "simple_websocket")

Serve = Callable[..., LiveServer]


@pytest.fixture
def site(serve_app: Serve, tmp_path: Path) -> LiveServer:
    """The guide's site."""
    guide.write(tmp_path, "flask_site.py")
    return serve_app("flask_site:app")


@pytest.fixture
def site_for_tests(serve_app: Serve) -> LiveServer:
    """A site with what the guide's need not have."""
    return serve_app("compat.flask_sites:app")


def test_http(site: LiveServer) -> None:
    with site.connect() as client:
        for name in ("Ada", "Grace"):
            client.send_request("GET", f"/?name={name}", ("Host", site.netloc))
            answer = client.read_response()
            assert (answer.status, answer.body) == (200, f"Hello {name}\n".encode())
    assert site.get("/nowhere").status == 404
    # Flask routes websockets apart: a plain request for one is a bad request of its.
    assert site.get("/echo/a").status == 400


def test_echo_and_a_clean_end(site: LiveServer) -> None:
    with connect(site.url("/echo/you%20said", "ws"), max_size=None) as client:
        for text in ("hello", "ünïcode 🐍", "", "x" * 3_000_000):
            client.send(text)
            assert client.recv(TIMEOUT) == f"you said: {text}"
    assert (client.close_code, client.close_reason) == (1000, "")
    eventually(lambda: "ERROR" not in site.stderr.text(), what="no error is logged")


def test_many_at_a_time(site: LiveServer) -> None:
    clients = [connect(site.url(f"/echo/{number}", "ws"), legacy=True) for number in range(30)]
    for number, client in enumerate(clients):
        client.send("all")
        client.send(str(number))
    for number, client in enumerate(clients):
        assert client.recv(TIMEOUT) == f"{number}: all"
        assert client.recv(TIMEOUT) == f"{number}: {number}"
        client.close()
        assert client.close_code == 1000
    assert site.get("/").status == 200


def test_the_server_closes_with_its_code(site_for_tests: LiveServer) -> None:
    with connect(site_for_tests.url("/closes", "ws")) as client:
        assert client.recv(TIMEOUT) == "bye"
        with pytest.raises(ConnectionClosed):
            client.recv(TIMEOUT)
    assert (client.close_code, client.close_reason) == (4000, "that was it")


def test_nothing_of_http_comes_after(site_for_tests: LiveServer) -> None:
    """The response that Flask makes at the end, and the page of an exception, go nowhere."""
    with open_socket(site_for_tests, "/closes") as client:
        assert read_frame(client) == frames.Frame(TEXT, b"bye")
        assert read_frame(client).opcode == CLOSE
        client.send(build(CLOSE, b"\x0f\xa0"))
        client.assert_closed()
    with open_socket(site_for_tests, "/fails") as client:
        assert read_frame(client) == frames.Frame(TEXT, b"soon")
        client.assert_closed()
    site_for_tests.expect_traceback("RuntimeError: expected by the test")


def test_pings_are_answered_and_sent(serve_app: Serve) -> None:
    """With a ``ping_interval`` simple-websocket waits with a selector."""
    server = serve_app("compat.flask_sites:app", env={"COMPAT_PING_INTERVAL": "0.5"})
    with open_socket(server, "/echo") as client:
        client.send(build(PING, b"are you there"))
        kinds: set[int] = set()
        while kinds != {PING, PONG}:
            frame = read_frame(client)
            kinds.add(frame.opcode)
            if frame.opcode == PING:
                client.send(build(PONG, frame.payload))
        client.send(build(TEXT, b"still here"))
        while (frame := read_frame(client)).opcode == PING:
            client.send(build(PONG, frame.payload))
        assert frame == frames.Frame(TEXT, b"still here")


def test_a_large_message_reaches_a_slow_reader_whole(site_for_tests: LiveServer) -> None:
    """simple-websocket calls ``send`` once and believes that all of it went."""
    size = 30_000_000
    with open_socket(site_for_tests, f"/large/{size}", by=site_for_tests.connect(8192)) as client:
        # In the midst of its send the server is made to send from another thread.
        assert client.fill()
        client.send(build(PING, b"in between"))
        frame = read_frame(client)
        assert (frame.opcode, len(frame.payload)) == (BINARY, size)
        assert digest(frame.payload) == digest(large(size))
        assert read_frame(client) == frames.Frame(PONG, b"in between")
        # Others are served meanwhile, and afterwards.
        assert site_for_tests.get("/").status == 200


def test_a_peer_that_takes_nothing_is_given_up(serve_app: Serve) -> None:
    server = serve_app("compat.flask_sites:app", "--send-timeout", "1")
    with open_socket(server, "/large/30000000", by=server.connect(8192)) as client:
        notes = server.get("/outcome")
        assert notes.body == b"TimeoutError"
        with pytest.raises((EOFError, OSError)):
            read_frame(client)


def test_a_client_that_vanishes_ends_its_view(site_for_tests: LiveServer) -> None:
    client = open_socket(site_for_tests, "/waits")
    client.reset()
    assert site_for_tests.get("/outcome").body == b"ConnectionClosed"


def test_pages_of_other_origins_are_refused(serve_app: Serve) -> None:
    server = serve_app("compat.flask_sites:app", "--allowed-origins", "https://friend.example")
    for origin, status in (("https://evil.example", 403), ("https://friend.example", 101)):
        with server.connect() as client:
            head = frames.handshake(client, "/echo", server.netloc, ("Origin", origin))
            assert head.status == status


def test_a_bad_handshake_is_answered(site: LiveServer) -> None:
    """In the view: Flask takes what the offer raises for an answer, and logs no traceback."""
    upgrade = (("Host", site.netloc), ("Connection", "Upgrade"), ("Upgrade", "websocket"))
    with site.connect() as client:
        client.send_request("GET", "/echo/a", *upgrade)
        assert client.read_response().status == 400
        client.send_request("GET", "/echo/a", *upgrade, ("Sec-WebSocket-Version", "99"))
        answer = client.read_response()
        assert (answer.status, answer.get("Sec-WebSocket-Version")) == (426, "13, 8, 7")


def test_stopping_ends_open_sockets(site: LiveServer) -> None:
    with open_socket(site, "/echo/a") as client:
        client.send(build(TEXT, b"x"))
        assert read_frame(client).payload == b"a: x"
        ended = threading.Thread(target=site.stop)
        ended.start()
        client.assert_closed()
        ended.join(TIMEOUT)
    assert site.process.returncode == 0
