"""Leaving HTTP on gevent: what becomes of the greenlet, the socket and the handler."""

from __future__ import annotations

import contextvars
import gc
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from greenlet import getcurrent

from dualws.contract import Environ, ServerConfig, StartResponse, Upgrade, WSGIApplication
from dualws_gevent.backend import GeventBackend
from dualws_gevent.server import WebSocketServer
from support.descriptors import descriptors
from support.raw import ConnectionEnded, RawClient
from support.timing import TIMEOUT, eventually
from support.upgrades import ASK, HEAD


class InsideServer:
    """A server with a hub of its own in a thread of the test's process.

    Nothing is patched here: an application waits with what its ``runtime`` offers.
    """

    def __init__(self, application: WSGIApplication, **settings: Any) -> None:
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address: tuple[str, int] = listener.getsockname()[:2]
        self._opened = threading.Event()
        self.server: WebSocketServer

        def run() -> None:
            config = ServerConfig(**settings)
            server = GeventBackend().make_server(application, config, [listener])
            assert isinstance(server, WebSocketServer)
            self.server = server
            server.on_opened = self._opened.set
            server.run()
            server.gevent_runtime.hub.destroy(destroy_loop=True)

        self.thread = threading.Thread(target=run, name="server")
        self.thread.start()
        assert self._opened.wait(TIMEOUT)

    def connect(self) -> RawClient:
        """A new connection."""
        return RawClient(self.address)

    def stop(self) -> None:
        """Stop it and wait for its end."""
        self.server.stop()
        self.thread.join(TIMEOUT)
        assert not self.thread.is_alive(), "the server did not stop"


@contextmanager
def running(application: WSGIApplication, **settings: Any) -> Iterator[InsideServer]:
    inside = InsideServer(application, **settings)
    try:
        yield inside
    finally:
        inside.stop()


class Owner:
    """Echoes what it receives, and closes when the peer does."""

    def __init__(self, upgrade: Upgrade) -> None:
        self.transport: Any = None
        self.lost = upgrade.runtime.waiter()
        self.is_lost = threading.Event()

    def data_received(self, data: bytes) -> None:
        if data == b"break":
            raise ValueError("expected by the test")
        self.transport.write(data)

    def eof_received(self) -> None:
        self.transport.close()

    def drained(self) -> None:
        """Nothing waits for it."""

    def connection_lost(self, error: OSError | None) -> None:
        self.transport = None
        self.is_lost.set()
        self.lost.wake()


def switch(environ: Environ) -> Owner:
    """Leave HTTP with an echo."""
    upgrade: Upgrade = environ["dualws.upgrade"]
    owner = Owner(upgrade)
    owner.transport = upgrade.switch(HEAD, owner)
    owner.transport.resume_reading()
    return owner


def echo(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    switch(environ)
    return []


def ask(server: InsideServer, early: bytes = b"") -> RawClient:
    client = server.connect()
    client.send_request("GET", "/", *ASK, body=early)
    return client


def test_the_cycle_runs_in_one_greenlet_and_what_comes_after_in_a_fresh_one() -> None:
    seen: list[tuple[str, Any, str]] = []
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    done = threading.Event()

    def note(what: str) -> None:
        seen.append((what, getcurrent(), variable.get()))

    class Result:
        def __iter__(self) -> Any:
            note("iterate")
            return iter(())

        def close(self) -> None:
            note("close")

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        note("call")
        variable.set("set")
        switch(environ)

        def handler() -> None:
            note("after")
            done.set()

        environ["dualws.upgrade"].after(handler)
        with pytest.raises(RuntimeError, match="already"):
            environ["dualws.upgrade"].after(handler)
        return Result()

    with running(application) as server, ask(server) as client:
        assert client.read_head().status == 101
        assert done.wait(TIMEOUT)
    assert [(what, value) for what, _, value in seen] == [
        ("call", "unset"),
        ("iterate", "set"),
        ("close", "set"),
        ("after", "set"),
    ]
    *cycle, after = (greenlet for _, greenlet, _ in seen)
    assert len(set(cycle)) == 1
    assert after not in cycle


def test_bytes_that_came_with_the_request_come_first() -> None:
    with running(echo) as server, ask(server, early=b"early ") as client:
        assert client.read_head().status == 101
        client.send(b"late")
        assert client.read(10) == b"early late"
        client.finish_sending()
        client.assert_closed()


def speaks_http(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    write = start_response("200 OK", [("Content-Length", "9")])
    write(b"HTTP")
    return [b"HTTP", b"HTTP"]


def fails(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    raise ValueError("expected by the test")


def fails_late(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    yield b"HTTP"
    raise ValueError("expected by the test")


@pytest.mark.parametrize("then", [speaks_http, fails, fails_late])
def test_no_http_after_the_switch(then: Callable[..., Iterable[bytes]]) -> None:
    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        switch(environ)
        return then(environ, start_response)

    with running(application) as server, ask(server) as client:
        assert client.read_head().status == 101
        client.send(b"x")
        assert client.read(1) == b"x"
        client.assert_open()


def test_a_response_that_has_begun_cannot_be_switched() -> None:
    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", [("Content-Length", "8")])
        write(b"HTTP")
        with pytest.raises(RuntimeError, match="begun"):
            switch(environ)
        return [b"HTTP"]

    with running(application) as server, ask(server) as client:
        assert client.read_response().body == b"HTTPHTTP"
        client.assert_open()


def test_an_upgrade_is_over_with_its_request() -> None:
    kept: list[Environ] = []

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        kept.append(environ)
        start_response("200 OK", [("Content-Length", "0")])
        return []

    with running(application) as server, ask(server) as client:
        assert client.read_response().status == 200
        client.send_request("GET", "/", ("Host", "a"))
        assert client.read_response().status == 200
        with pytest.raises(RuntimeError, match="over"):
            switch(kept[0])


def test_a_client_that_has_gone_cannot_be_switched() -> None:
    called = threading.Event()
    errors: list[BaseException] = []

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        called.set()
        environ["dualws.upgrade"].runtime.waiter().wait(0.2)
        try:
            switch(environ)
        except ConnectionError as error:
            errors.append(error)
        return []

    with running(application) as server:
        client = ask(server)
        assert called.wait(TIMEOUT)
        client.reset()
        eventually(lambda: errors, what="the application is told")


def test_a_request_with_a_body_is_offered_no_upgrade() -> None:
    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [str("dualws.upgrade" in environ).encode()]

    with running(application) as server, server.connect() as client:
        for length, expected in (("2", b"False"), ("0", b"True")):
            body = b"x" * int(length)
            client.send_request("POST", "/", *ASK, ("Content-Length", length), body=body)
            assert client.read_response().body == expected


def test_a_callback_that_fails_ends_its_connection_and_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with running(echo) as server, ask(server) as healthy, ask(server) as broken:
        assert healthy.read_head().status == broken.read_head().status == 101
        broken.send(b"break")
        broken.assert_closed()
        healthy.send(b"alive")
        assert healthy.read(5) == b"alive"
    assert "connection is dropped" in caplog.text


#: Everything that one upgraded request is made of.
PARTS = {"Owner", "Reader", "Response", "Transport", "UpgradableWSGIHandler", "Upgrade", "Waiter"}


def parts() -> Counter[str]:
    gc.collect()
    found: Counter[str] = Counter()
    for thing in gc.get_objects():
        kind = type(thing)
        if kind.__name__ in PARTS and kind.__module__.startswith(("dualws_gevent", __name__)):
            found[kind.__name__] += 1
    return found


def test_upgrades_leave_nothing_behind() -> None:
    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        owner = switch(environ)
        environ["dualws.upgrade"].after(owner.lost.wait)
        return []

    def upgrade(times: int) -> None:
        for _ in range(times):
            with ask(server) as client:
                assert client.read_head().status == 101
                client.finish_sending()
                client.assert_closed()

    # Exceptions that other tests keep hold their frames.
    outside = parts()
    with running(application) as server:
        upgrade(10)
        # Its own waiters last as long as the server.
        eventually(lambda: set(parts() - outside) <= {"Waiter"}, what=f"all is gone: {parts()}")
        before = parts()
        opened = descriptors()
        upgrade(1000)
        eventually(lambda: not parts() - before, what=f"all is gone: {before} {parts()}")
        assert not descriptors() - opened


def test_while_it_lives_only_the_transport_is_kept() -> None:
    owners: list[Owner] = []

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        owner = switch(environ)
        owners.append(owner)
        environ["dualws.upgrade"].after(owner.lost.wait)
        return []

    with running(application) as server:
        before = parts()
        with ask(server) as client:
            assert client.read_head().status == 101
            eventually(
                lambda: parts() - before == Counter(Owner=1, Transport=1, Waiter=1),
                what="HTTP's side of it is gone",
            )
            client.send(b"alive")
            assert client.read(5) == b"alive"
        owners.clear()


def test_stopping_closes_what_has_left_http() -> None:
    owners: list[Owner] = []

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        owners.append(switch(environ))
        return []

    with running(application) as server:
        client = ask(server)
        assert client.read_head().status == 101
    assert owners[0].is_lost.is_set()
    with client, pytest.raises((ConnectionEnded, ConnectionResetError)):
        client.read(1)


def test_a_socket_that_is_taken_is_the_applications() -> None:
    """Not a byte is sent, early bytes are handed over, and waiting stops one greenlet only."""
    taken: list[Any] = []

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        upgrade: Upgrade | None = environ.get("dualws.upgrade")
        if upgrade is None:
            return speaks_http(environ, start_response)
        sock, early = upgrade.take_socket()
        taken.append(sock)
        for again in (upgrade.take_socket, lambda: switch(environ)):
            with pytest.raises(RuntimeError, match="left HTTP"):
                again()
        with sock:
            sock.sendall(early + sock.recv(100))
        return speaks_http(environ, start_response)

    with running(application) as server, ask(server, early=b"early ") as client:
        eventually(lambda: taken, what="the socket is taken")
        with server.connect() as other:
            other.send_request("GET", "/", ("Host", "a"))
            assert other.read_response().status == 200
        client.send(b"late")
        assert client.read(10) == b"early late"
        client.assert_closed()


def test_a_response_that_has_begun_keeps_its_socket() -> None:
    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "8")])(b"HTTP")
        with pytest.raises(RuntimeError, match="begun"):
            environ["dualws.upgrade"].take_socket()
        return [b"HTTP"]

    with running(application) as server, ask(server) as client:
        assert client.read_response().body == b"HTTPHTTP"
        client.assert_open()
