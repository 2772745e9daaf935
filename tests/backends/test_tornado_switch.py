"""Leaving HTTP while the loop is busy: the application's thread does not wait for it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pytest

from dualws.contract import ConnectionOwner, Environ, StartResponse, Transport, Upgrade
from dualws_tornado.runtime import Runtime
from support.raw import ConnectionEnded, RawClient
from support.timing import TIMEOUT, eventually
from support.tornado_server import InsideServer, running
from support.upgrades import ASK, HEAD


class Owner:
    """Keeps what comes."""

    def __init__(self) -> None:
        self.received = b""
        self.lost: list[OSError | None] = []

    def data_received(self, data: bytes) -> None:
        self.received += data

    def eof_received(self) -> None:
        self.received += b"<end>"

    def drained(self) -> None:
        """Nothing waits for it."""

    def connection_lost(self, error: OSError | None) -> None:
        self.lost.append(error)


class Site:
    """Leaves HTTP when it is told to, and keeps back what the loop is to do for that."""

    def __init__(self) -> None:
        self.owner = Owner()
        self.called = threading.Event()
        self.go_on = threading.Event()
        self.switched = threading.Event()
        self.transport: Transport | None = None
        self.error: ConnectionError | None = None
        #: connections of the server when the loop has done its part
        self.counted = 0
        #: what the loop is to do
        self.kept: list[Callable[[], object]] = []

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        upgrade: Upgrade = environ["dualws.upgrade"]
        runtime: Runtime = environ["wsgi.server"].runtime
        self.called.set()
        assert self.go_on.wait(TIMEOUT)
        runtime.call_soon, call_soon = self.kept.append, runtime.call_soon
        try:
            self.transport = upgrade.switch(HEAD, self.owner)
        except ConnectionError as error:
            self.error = error
        finally:
            runtime.call_soon = call_soon
            self.switched.set()
        return []

    def adopt(self, server: InsideServer, then: Callable[[Transport], object]) -> None:
        """Call *then* with the transport, and have the loop do its part after that, before what
        that asks of it."""
        assert self.transport is not None
        held, go_on = threading.Event(), threading.Event()

        def run() -> None:
            held.set()
            assert go_on.wait(TIMEOUT)
            for function in self.kept:
                function()
            self.counted = server.server.open_connections()

        server.server.runtime.call_soon(run)
        assert held.wait(TIMEOUT)
        then(self.transport)
        go_on.set()


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def server(site: Site) -> Iterator[InsideServer]:
    with running(site) as server:
        yield server


@contextmanager
def asking(server: InsideServer, site: Site, early: bytes = b"") -> Iterator[RawClient]:
    """A client whose request has reached the application."""
    with server.connect() as client:
        client.send_request("GET", "/", *ASK, body=early)
        assert site.called.wait(TIMEOUT)
        yield client


def go(site: Site) -> None:
    site.go_on.set()
    assert site.switched.wait(TIMEOUT)


def received(site: Site, data: bytes) -> None:
    eventually(lambda: site.owner.received == data, what=f"{data!r} has not come")


def resume(transport: Transport) -> None:
    transport.resume_reading()


def resume_twice(transport: Transport) -> None:
    transport.resume_reading()
    transport.pause_reading()
    transport.resume_reading()


@pytest.mark.parametrize("then", [resume, resume_twice])
@pytest.mark.parametrize("early", [b"", b"early "])
def test_the_answer_does_not_wait_for_the_loop(
    server: InsideServer, site: Site, early: bytes, then: Callable[[Transport], None]
) -> None:
    with asking(server, site, early) as client:
        go(site)
        assert client.read_head().status == 101
        client.send(b"more")
        site.adopt(server, then)
        received(site, early + b"more")
        server.on_loop(lambda: None)
        assert site.counted == 1
        client.send(b" and more")
        received(site, early + b"more and more")
        assert site.transport is not None
        site.transport.write(b"answer")
        assert client.read(6) == b"answer"
    received(site, early + b"more and more<end>")


def nothing(transport: Transport) -> None:
    """Reading is paused as it began."""


def pause_again(transport: Transport) -> None:
    transport.resume_reading()
    transport.pause_reading()


@pytest.mark.parametrize("then", [nothing, pause_again])
@pytest.mark.parametrize("early", [b"", b"early "])
def test_who_does_not_read_finds_everything_later(
    server: InsideServer, site: Site, early: bytes, then: Callable[[Transport], None]
) -> None:
    with asking(server, site, early) as client:
        go(site)
        client.read_head()
        client.send(b"more")
        site.adopt(server, then)
        for _ in range(3):
            server.on_loop(lambda: None)
        assert site.owner.received == b""
        assert site.transport is not None
        site.transport.resume_reading()
        received(site, early + b"more")


@pytest.mark.parametrize("how", ["close", "abort"])
def test_an_end_before_the_loop_has_heard_of_the_beginning(
    server: InsideServer, site: Site, how: str
) -> None:
    with asking(server, site) as client:
        go(site)
        client.read_head()
        site.adopt(server, lambda transport: getattr(transport, how)())
        client.assert_closed()
    eventually(lambda: site.owner.lost == [None], what="its owner is not told")
    books = server.server
    assert not server.on_loop(lambda: books.transports | books.http_connections)


def test_a_client_that_leaves_meanwhile_is_lost(server: InsideServer, site: Site) -> None:
    with asking(server, site) as client:
        go(site)
        client.read_head()
        client.reset()
    # Tornado has heard of it, and has not closed what is not its own any more.
    eventually(lambda: not server.server.http_connections, what="Tornado has not heard of it")
    assert site.transport is not None
    os.fstat(site.transport.descriptor)
    site.adopt(server, resume)
    eventually(lambda: site.owner.lost, what="its owner is not told")
    assert isinstance(site.owner.lost[0], ConnectionError)
    assert not server.on_loop(lambda: server.server.transports)


def test_who_has_left_before_is_not_answered(server: InsideServer, site: Site) -> None:
    with asking(server, site) as client:
        client.reset()
    eventually(lambda: not server.server.http_connections, what="Tornado has not heard of it")
    go(site)
    assert isinstance(site.error, ConnectionError)
    assert site.transport is None


def test_a_stream_that_was_closed_has_no_socket_any_more(server: InsideServer, site: Site) -> None:
    def close() -> None:
        for connection in tuple(server.server.http_connections):
            connection.stream.close()
            with pytest.raises(ConnectionError):  # nobody else has heard of it
                connection.stream.claim()

    with asking(server, site) as client:
        server.on_loop(close)
        client.assert_closed()
    go(site)
    assert isinstance(site.error, ConnectionError)


def test_a_client_that_takes_nothing_is_cut_off(server: InsideServer, site: Site) -> None:
    def write() -> None:
        for connection in server.server.http_connections:
            connection.stream.write(bytes(16 * 1024 * 1024))  # more than a socket takes

    with asking(server, site) as client:
        server.on_loop(write)
        go(site)
        assert isinstance(site.error, ConnectionError)
        for function in site.kept:
            server.on_loop(function)
        with pytest.raises((ConnectionEnded, ConnectionError)):
            client.read(17 * 1024 * 1024)
    books = server.server
    eventually(lambda: not books.http_connections | books.active, what="it is counted yet")


def test_a_server_that_has_ended_meanwhile_keeps_no_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[socket.socket] = []
    errors: list[str] = []

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            environ["dualws.upgrade"].switch(HEAD, Owner())
        except ConnectionError as error:
            errors.append(str(error))
        return []

    with running(application) as server:
        make_transport = server.server.make_transport

        def late(sock: socket.socket, owner: ConnectionOwner) -> Transport:
            made.append(sock)
            server.stop()
            return make_transport(sock, owner)

        monkeypatch.setattr(server.server, "make_transport", late)
        with server.connect() as client:
            client.send_request("GET", "/", *ASK)
            client.assert_closed()
        eventually(lambda: errors, what="the application is not told")
    assert errors == ["the server has stopped"]
    assert made[0].fileno() == -1


def test_a_server_that_ends_meanwhile_closes_the_connection(
    server: InsideServer, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The loop would be gone before this test's thread, on a machine that is busy.
    monkeypatch.setattr("dualws_tornado.server.GRACE", TIMEOUT)
    with asking(server, site) as client:
        go(site)
        client.read_head()
        server.server.stop()
        site.adopt(server, resume)
        client.assert_closed()
    server.thread.join(TIMEOUT)
    assert len(site.owner.lost) == 1
