"""What needs no package but dualws's own dependencies: bare WSGI, ws4py, the raw socket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection, connect

from compat import guide
from compat.data import digest, large
from support import frames
from support.frames import TEXT, build, read_frame
from support.raw import RawClient
from support.server import LiveServer
from support.timing import TIMEOUT, eventually

Serve = Callable[..., LiveServer]
ASK = (("Connection", "Upgrade"), ("Upgrade", "websocket"))


@pytest.fixture
def handlers(serve_app: Serve, tmp_path: Path) -> LiveServer:
    """The guide's ws4py handlers in a Django project."""
    guide.write(tmp_path, "urls.py")
    return serve_app("compat.django_site", env={"DJANGO_SETTINGS_MODULE": "compat.settings"})


@pytest.fixture
def takers(serve_app: Serve) -> LiveServer:
    """Applications that take the raw socket."""
    return serve_app("compat.takers:application")


def open_raw(server: LiveServer, path: str, **options: int) -> RawClient:
    """A connection that the application has taken, and has answered with a line of its own."""
    client = RawClient(server.address, **options)
    key = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    client.send_request(
        "GET", path, ("Host", server.netloc), *ASK, key, ("Sec-WebSocket-Version", "13")
    )
    return client


def test_every_program_of_the_guide_is_tested() -> None:
    assert set(guide.programs()) == {
        "bare.py",
        "flask_site.py",
        "rooms.py",
        "socketio_urls.py",
        "urls.py",
        "wsgi.py",
    }


def test_the_guides_bare_application(serve_app: Serve, tmp_path: Path) -> None:
    guide.write(tmp_path, "bare.py")
    server = serve_app("bare")
    assert server.get("/").body == b"This is HTTP.\n"
    with connect(server.url("/", "ws")) as client:
        for said in ("hello", b"\x00\xff", "x" * 100_000):
            client.send(said)
            assert client.recv(TIMEOUT) == said
    assert client.close_code == 1000


def test_ws4pys_own_echo(handlers: LiveServer) -> None:
    with connect(handlers.url("/echo/", "ws")) as client:
        for said in ("hello", "ünïcode 🐍", b"\x00\xff", "x" * 100_000):
            client.send(said)
            assert client.recv(TIMEOUT) == said
    assert client.close_code == 1000


def test_the_guides_ws4py_chat(handlers: LiveServer) -> None:
    def join() -> ClientConnection:
        client = connect(handlers.url("/chat/", "ws"), legacy=True)
        client.send("hello")
        assert client.recv(TIMEOUT) == "hello"
        return client

    first, second = join(), join()
    assert first.recv(TIMEOUT) == "hello"
    first.send(b"\x00\xff")
    assert first.recv(TIMEOUT) == second.recv(TIMEOUT) == b"\x00\xff"
    first.close(4000, "good night")
    assert second.recv(TIMEOUT) == "good night"
    second.close()
    assert second.close_code == 1000


def test_the_taker_speaks_and_nobody_else(takers: LiveServer) -> None:
    with open_raw(takers, "/echo") as client:
        assert client.read(6) == b"yours\n"
        client.send(b"abc")
        assert client.read(3) == b"abc"
        client.finish_sending()
        # The application answers 200 with a body: it is dropped.
        client.assert_closed()


@pytest.mark.parametrize("path", ["/raises", "/generator"])
def test_what_the_application_does_afterwards(takers: LiveServer, path: str) -> None:
    with open_raw(takers, path) as client:
        assert client.read(6) == b"yours\n"
        client.assert_closed()
    takers.expect_traceback("RuntimeError: expected by the test")


def test_early_bytes_come_first(takers: LiveServer) -> None:
    with RawClient(takers.address) as client:
        client.send(
            b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            b"early "
        )
        client.send(b"late")
        assert client.read(16) == b"yours\nearly late"


def test_a_socket_as_blocking_code_knows_it(takers: LiveServer) -> None:
    with open_raw(takers, "/methods") as client:
        assert client.read(6) == b"yours\n"
        client.send(b"x")
        client.send(b"1234")
        client.assert_closed()
        local = list(client.sock.getsockname()[:2])
    seen = takers.get_json("/notes", key="methods", count=1)[0]
    assert seen == {
        "peer": local,
        "timeout": [None, 0.05, None],
        "timed out": True,
        "not blocking": "BlockingIOError",
        "selected": True,
        "peeked": "1",
        "received": "1234",
        "same": True,
        "accept": "RuntimeError",
        "after close": ["OSError", -1],
    }


def test_threads_send_whole_data_each(takers: LiveServer) -> None:
    """Ten threads, a reader that is slower than they are: nothing is torn or mixed."""
    with open_raw(takers, "/threads", receive_buffer=8192) as client:
        assert client.read(6) == b"yours\n"
        data = b"".join(client.read(1_000_000) for _ in range(10))
        pieces = {data[start : start + 1_000_000] for start in range(0, len(data), 1_000_000)}
        assert pieces == {bytes([number]) * 1_000_000 for number in range(10)}
        client.assert_closed()


def test_the_last_bytes_reach_a_peer_that_still_sends(takers: LiveServer) -> None:
    """Closing with bytes unread would reset the connection, and take the answer away."""
    with open_raw(takers, "/large", receive_buffer=8192) as client:
        client.send(b"unread" * 1000)
        assert client.read(6) == b"yours\n"
        data = client.read(5_000_000)
        assert digest(data) == digest(large(5_000_000))
        client.assert_closed()


def test_parked_takers_leave_the_places_of_requests(serve_app: Serve) -> None:
    """On Tornado each holds a thread, of the websockets' budget; on gevent a greenlet."""
    server = serve_app("compat.takers:application", "--threads", "1")
    clients = [open_raw(server, "/echo") for _ in range(5)]
    for client in clients:
        assert client.read(6) == b"yours\n"
    assert server.get("/notes").status == 200
    for client in clients:
        client.send(b"x")
        assert client.read(1) == b"x"
        client.close()


def test_the_places_of_takers_are_bounded(serve_app: Serve, backend: str) -> None:
    server = serve_app("compat.takers:application", "--max-blocking-handlers", "1")
    with open_raw(server, "/echo") as first, open_raw(server, "/echo") as second:
        assert first.read(6) == b"yours\n"
        if backend == "gevent":  # a greenlet always has a place
            assert second.read(6) == b"yours\n"
            return
        answer = second.read_response()
        assert (answer.status, answer.get("Retry-After")) == (503, "5")
        first.finish_sending()
        first.assert_closed()

        def admitted() -> bool:
            with open_raw(server, "/echo") as third:
                return third.read(4) == b"your"

        eventually(admitted, what="the place is given back")


def test_nothing_is_left_of_sockets_that_were_taken(takers: LiveServer) -> None:
    def use(times: int) -> None:
        for number in range(times):
            with open_raw(takers, "/echo") as client:
                assert client.read(6) == b"yours\n"
                if number % 2:
                    client.finish_sending()
                    client.assert_closed()
                else:
                    client.reset()

    at_first = takers.get_json("/descriptors")
    use(60)
    eventually(
        lambda: takers.get_json("/descriptors") == at_first,
        what=f"the descriptors are the {at_first} of the beginning again",
    )


def test_a_taken_socket_ends_with_the_server(takers: LiveServer) -> None:
    with open_raw(takers, "/echo") as client:
        assert client.read(6) == b"yours\n"
        assert takers.stop() == 0
        client.assert_closed()


def test_the_lazy_websocket_wins_if_it_is_first(takers: LiveServer) -> None:
    with takers.connect() as client:
        assert frames.handshake(client, "/lazy", takers.netloc).status == 101
        client.send(build(TEXT, b"x"))
        assert read_frame(client).payload == b"RuntimeError"
