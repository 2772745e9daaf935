"""Leaving HTTP on Tornado: what becomes of the thread, the socket and Tornado's own objects."""

from __future__ import annotations

import contextvars
import gc
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from dualws.contract import Environ, StartResponse, Upgrade
from support.certificates import Authority
from support.descriptors import descriptors
from support.raw import ConnectionEnded, RawClient
from support.timing import TIMEOUT, eventually
from support.tornado_server import InsideServer, running
from support.upgrades import ASK, HEAD


class Owner:
    """Echoes what it receives, and closes when the peer does."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.lost = threading.Event()
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.transport.write(data)

    def eof_received(self) -> None:
        self.transport.close()

    def drained(self) -> None:
        """Nothing waits for it."""

    def connection_lost(self, error: OSError | None) -> None:
        self.transport = None
        self.lost.set()


def switch(environ: Environ) -> Owner:
    """Leave HTTP with an echo."""
    owner = Owner()
    upgrade: Upgrade = environ["dualws.upgrade"]
    owner.transport = upgrade.switch(HEAD, owner)
    owner.transport.resume_reading()
    return owner


def ask(server: InsideServer, path: str = "/", early: bytes = b"") -> RawClient:
    client = server.connect()
    client.send_request("GET", path, *ASK, body=early)
    return client


class Parking:
    """An application whose upgraded requests park their thread until they are released."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.parked = threading.Semaphore(0)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        upgrade: Upgrade | None = environ.get("dualws.upgrade")
        if upgrade is None:
            start_response("200 OK", [])
            return [b"served"]
        if not upgrade.reserve():
            start_response("503 Service Unavailable", [])
            return [b"full"]
        owner = switch(environ)

        def handler() -> None:
            self.parked.release()
            self.release.wait(TIMEOUT)
            owner.transport.close()

        upgrade.after(handler)
        with pytest.raises(RuntimeError, match="already"):
            upgrade.after(handler)
        return []


def served(server: InsideServer) -> bytes:
    with server.connect() as client:
        client.send_request("GET", "/", ("Host", "a"))
        return client.read_response().body


def test_parked_handlers_leave_their_threads_places_to_requests() -> None:
    application = Parking()
    with running(application, threads=1, max_blocking_handlers=3) as server:
        parked = [ask(server) for _ in range(3)]
        for client in parked:
            assert client.read_head().status == 101
            assert application.parked.acquire(timeout=TIMEOUT)
        assert server.server.workers.promoted == 3
        assert served(server) == b"served"

        with ask(server) as refused:
            answer = refused.read_response()
            assert (answer.status, answer.body) == (503, b"full")

        application.release.set()
        for client in parked:
            client.assert_closed()
            client.close()
        eventually(lambda: server.server.workers.promoted == 0, what="the places are given back")
        with ask(server) as again:
            assert again.read_head().status == 101
        eventually(lambda: server.server.workers.running <= 1, what="the budget is kept")
        assert served(server) == b"served"


def test_handlers_that_follow_their_requests_need_no_other_thread_for_requests() -> None:
    threads = set()
    release = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        threads.add(threading.get_ident())
        upgrade: Upgrade = environ["dualws.upgrade"]
        if not upgrade.claim():
            start_response("503 Service Unavailable", [])
            return [b"full"]
        owner = switch(environ)

        def handler() -> None:
            release.wait(TIMEOUT)
            owner.transport.close()

        upgrade.after(handler)
        return []

    with running(application, threads=1, max_blocking_handlers=8) as server:
        clients = [ask(server) for _ in range(8)]
        for client in clients:
            assert client.read_head().status == 101
        with ask(server) as refused:
            assert refused.read_response().status == 503
        assert len(threads) == 1
        assert (server.server.workers.promoted, server.server.workers.running) == (8, 1)
        release.set()
        for client in clients:
            client.assert_closed()
            client.close()
        eventually(lambda: server.server.workers.promoted == 0, what="the places are given back")


@pytest.mark.parametrize("blocks", [False, True])
def test_the_cycle_runs_in_one_thread_and_what_blocks_afterwards_in_a_fresh_one(
    blocks: bool,
) -> None:
    seen: list[tuple[str, int, str]] = []
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    done = threading.Event()

    def note(what: str) -> None:
        seen.append((what, threading.get_ident(), variable.get()))

    class Result:
        def __iter__(self) -> Any:
            note("iterate")
            return iter(())

        def close(self) -> None:
            note("close")

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        note("call")
        variable.set("set")
        if blocks:
            assert environ["dualws.upgrade"].reserve()
        switch(environ)

        def handler() -> None:
            note("after")
            done.set()

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
    *cycle, after = (thread for _, thread, _ in seen)
    assert len(set(cycle)) == 1
    assert (after not in cycle) is blocks


def test_bytes_that_came_with_the_request_come_first() -> None:
    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        switch(environ)
        return []

    with running(application) as server, ask(server, early=b"early ") as client:
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


@pytest.mark.parametrize("how", ["switch", "take_socket"])
def test_a_response_that_has_begun_keeps_its_socket(how: str) -> None:
    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", [("Content-Length", "8")])
        write(b"HTTP")
        with pytest.raises(RuntimeError, match="begun"):
            switch(environ) if how == "switch" else environ["dualws.upgrade"].take_socket()
        return [b"HTTP"]

    with running(application) as server, ask(server) as client:
        assert client.read_response().body == b"HTTPHTTP"
        client.assert_open()


@pytest.mark.parametrize("leaves", [False, True])
def test_an_upgrade_is_over_with_its_request(leaves: bool) -> None:
    kept: list[Upgrade] = []

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if "dualws.upgrade" in environ:
            kept.append(environ["dualws.upgrade"])
            if leaves:
                switch(environ)
        start_response("200 OK", [("Content-Length", "0")])
        return []

    with running(application, threads=1) as server, ask(server) as client:
        assert client.read_head().status == (101 if leaves else 200)
        # Its one thread has given the request back.
        with server.connect() as other:
            other.send_request("GET", "/", ("Host", "a"))
            assert other.read_response().status == 200
        for again in (kept[0].take_socket, lambda: kept[0].switch(HEAD, Owner())):
            with pytest.raises(RuntimeError, match="left HTTP already, or is over"):
                again()
        client.assert_open()


def test_a_client_that_has_gone_cannot_be_switched() -> None:
    called = threading.Event()
    go_on = threading.Event()
    errors: list[BaseException] = []

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        called.set()
        go_on.wait(TIMEOUT)
        try:
            switch(environ)
        except ConnectionError as error:
            errors.append(error)
        finally:
            called.set()
        return []

    with running(application) as server:
        client = ask(server)
        assert called.wait(TIMEOUT)
        called.clear()
        client.reset()  # who only closes may still read
        eventually(lambda: not server.server.active, what="Tornado sees that the client has gone")
        go_on.set()
        assert called.wait(TIMEOUT)
    assert len(errors) == 1


def test_a_request_with_a_body_is_offered_no_upgrade() -> None:
    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [str("dualws.upgrade" in environ).encode()]

    with running(application) as server, server.connect() as client:
        for length, expected in (("2", b"False"), ("0", b"True")):
            body = b"x" * int(length)
            client.send_request("POST", "/", *ASK, ("Content-Length", length), body=body)
            assert client.read_response().body == expected


#: Everything that one upgraded request is made of.
PARTS = {
    "Channel",
    "HTTP1Connection",
    "HTTP1ServerConnection",
    "Owner",
    "Response",
    "Stream",
    "Transport",
    "UpgradableWSGIHandler",
    "Upgrade",
    "_Connection",
}


def parts() -> Counter[str]:
    gc.collect()
    found: Counter[str] = Counter()
    for thing in gc.get_objects():
        kind = type(thing)
        if kind.__name__ in PARTS and kind.__module__.startswith(
            ("dualws_tornado", "tornado", __name__)
        ):
            found[kind.__name__] += 1
    return found


def test_upgrades_leave_nothing_behind() -> None:
    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        owner = switch(environ)
        environ["dualws.upgrade"].after(lambda: owner.lost.wait(TIMEOUT))
        return []

    def upgrade(times: int) -> None:
        for _ in range(times):
            with ask(server) as client:
                assert client.read_head().status == 101
                client.finish_sending()
                client.assert_closed()

    # Exceptions that other tests keep hold their frames.
    outside = parts()
    with running(application, threads=2) as server:
        upgrade(10)
        eventually(lambda: not parts() - outside, what=f"all is gone: {outside} {parts()}")
        before = parts()
        opened = descriptors()
        upgrade(1000)
        eventually(lambda: not parts() - before, what=f"all is gone: {before} {parts()}")
        assert not descriptors() - opened


def test_while_it_lives_only_the_transport_is_kept() -> None:
    owners: list[Owner] = []

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        owners.append(switch(environ))
        return []

    with running(application) as server, ask(server) as client:
        assert client.read_head().status == 101
        eventually(
            lambda: set(parts()) == {"Owner", "Transport"}, what="Tornado's side of it is gone"
        )
        client.send(b"alive")
        assert client.read(5) == b"alive"
        owners.clear()


def test_stopping_closes_what_has_left_http() -> None:
    lost: list[threading.Event] = []

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        lost.append(switch(environ).lost)
        return []

    with running(application) as server:
        client = ask(server)
        assert client.read_head().status == 101
    assert lost[0].is_set()
    with client, pytest.raises((ConnectionEnded, ConnectionResetError)):
        client.read(1)


def test_a_socket_that_is_taken_is_the_applications() -> None:
    """Not a byte is sent, early bytes are handed over, and nothing of Tornado's is kept."""
    taken = threading.Event()
    left: list[int] = []

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        upgrade: Upgrade = environ["dualws.upgrade"]
        books = environ["wsgi.server"]
        runtime = books.runtime
        call_soon = runtime.call_soon
        # In the same turn of the loop, before Tornado notices.
        runtime.call_soon = lambda function: call_soon(
            lambda: (function(), left.append(len(books.http_connections)))
        )
        sock, early = upgrade.take_socket()
        runtime.call_soon = call_soon
        for again in (upgrade.take_socket, lambda: switch(environ)):
            with pytest.raises(RuntimeError, match="left HTTP"):
                again()
        taken.set()
        with sock:
            sock.settimeout(TIMEOUT)
            sock.sendall(early + sock.recv(100))
        start_response("200 OK", [])
        return [b"HTTP"]

    with running(application) as server, ask(server, early=b"early ") as client:
        assert taken.wait(TIMEOUT)
        assert not server.on_loop(lambda: server.server.http_connections)
        assert left == [0]
        client.send(b"late")
        assert client.read(10) == b"early late"
        client.assert_closed()


def test_the_socket_of_a_client_that_has_gone_cannot_be_taken() -> None:
    called = threading.Event()
    gone = threading.Event()
    errors: list[BaseException] = []

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        called.set()
        assert gone.wait(TIMEOUT)
        try:
            environ["dualws.upgrade"].take_socket()
        except ConnectionError as error:
            errors.append(error)
        return []

    with running(application) as server:
        client = ask(server)
        assert called.wait(TIMEOUT)
        client.reset()
        eventually(
            lambda: not server.on_loop(lambda: server.server.http_connections),
            what="the server hears of it",
        )
        gone.set()
        eventually(lambda: errors, what="the application is told")


@pytest.mark.parametrize("how", ["switch", "take_socket"])
def test_a_loop_that_answers_too_late_leaves_no_connection_behind(
    how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("dualws_tornado.upgrade._PATIENCE", 0.05)
    go_on = threading.Event()
    outcomes: list[str] = []

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        upgrade: Upgrade = environ["dualws.upgrade"]
        blocked = threading.Event()
        server.server.runtime.call_soon(lambda: (blocked.set(), go_on.wait(TIMEOUT)))
        assert blocked.wait(TIMEOUT)
        try:
            upgrade.switch(HEAD, Owner()) if how == "switch" else upgrade.take_socket()
        except ConnectionError as error:
            outcomes.append(str(error))
        go_on.set()
        return []

    settings = {}
    if how == "switch":  # which waits for the loop with TLS only
        authority = Authority(tmp_path)
        certificate, key = authority.issue("server", "/CN=localhost", "DNS:localhost")
        settings = {"certfile": str(certificate), "keyfile": str(key)}
    with running(application, **settings) as server, server.connect() as client:
        if settings:
            client.sock = authority.client().wrap_socket(client.sock, server_hostname="localhost")
        client.send_request("GET", "/", *ASK)
        client.assert_closed()
        assert outcomes == ["the server has stopped"]
        books = server.server
        assert not server.on_loop(lambda: books.transports | books.http_connections)
