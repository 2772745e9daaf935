"""A socket that has left HTTP: the loop watches it from then on, and need not be asked to."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator

import pytest

from dualws.contract import Environ, StartResponse, Transport, Upgrade
from support.raw import RawClient
from support.timing import TIMEOUT, eventually
from support.tornado_server import InsideServer, running
from support.upgrades import ASK, HEAD


class Owner:
    """Keeps what comes."""

    def __init__(self) -> None:
        self.received: queue.Queue[bytes] = queue.Queue()
        self.lost: queue.Queue[OSError | None] = queue.Queue()

    def data_received(self, data: bytes) -> None:
        self.received.put(data)

    def eof_received(self) -> None:
        self.received.put(b"")

    def drained(self) -> None:
        """Nothing waits for it."""

    def connection_lost(self, error: OSError | None) -> None:
        self.lost.put(error)


class Paused:
    """An application that leaves HTTP, and reads when the test wants it to."""

    def __init__(self) -> None:
        self.owner = Owner()
        self.transports: queue.Queue[Transport] = queue.Queue()
        #: asked of the loop meanwhile
        self.asked = 0

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        upgrade: Upgrade = environ["dualws.upgrade"]
        runtime = environ["wsgi.server"].runtime
        call_soon = runtime.call_soon

        def counted(function: Callable[[], object]) -> None:
            self.asked += 1
            call_soon(function)

        runtime.call_soon = counted
        transport = upgrade.switch(HEAD, self.owner)
        self.transports.put(transport)
        return []


@pytest.fixture
def application() -> Paused:
    return Paused()


@pytest.fixture
def server(application: Paused) -> Iterator[InsideServer]:
    with running(application) as server:
        yield server


@pytest.fixture
def client(server: InsideServer) -> Iterator[RawClient]:
    with server.connect() as client:
        client.send_request("GET", "/", *ASK)
        yield client


def test_to_leave_http_and_to_read_asks_the_loop_once(
    application: Paused, client: RawClient
) -> None:
    transport = application.transports.get(timeout=TIMEOUT)
    transport.resume_reading()
    assert client.read_head().status == 101
    client.send(b"first")
    assert application.owner.received.get(timeout=TIMEOUT) == b"first"
    client.send(b"second")
    assert application.owner.received.get(timeout=TIMEOUT) == b"second"
    assert application.asked == 1


def test_what_comes_while_reading_is_paused_stays_in_the_socket(
    application: Paused, client: RawClient
) -> None:
    transport = application.transports.get(timeout=TIMEOUT)
    client.read_head()
    client.send(b"too soon")
    # Else the loop would be woken for it again and again.
    eventually(lambda: not transport._reading, what="the loop goes on watching")
    assert application.owner.received.empty()
    transport.resume_reading()
    assert application.owner.received.get(timeout=TIMEOUT) == b"too soon"


def test_what_came_with_the_request_comes_first(server: InsideServer, application: Paused) -> None:
    go_on = threading.Event()
    with server.connect() as client:
        client.send_request("GET", "/", *ASK, body=b"first")
        transport = application.transports.get(timeout=TIMEOUT)
        # The loop sees at the same time that it is to read, and that there is something.
        server.server.runtime.call_soon(lambda: go_on.wait(TIMEOUT))
        client.send(b"second")
        transport.resume_reading()
        go_on.set()
        assert application.owner.received.get(timeout=TIMEOUT) == b"first"
        assert application.owner.received.get(timeout=TIMEOUT) == b"second"


def test_reading_pauses_as_ever(
    server: InsideServer, application: Paused, client: RawClient
) -> None:
    transport = application.transports.get(timeout=TIMEOUT)
    client.read_head()
    transport.resume_reading()
    transport.pause_reading()
    server.on_loop(lambda: None)
    client.send(b"later")
    server.on_loop(lambda: None)
    assert application.owner.received.empty()
    transport.resume_reading()
    assert application.owner.received.get(timeout=TIMEOUT) == b"later"


@pytest.mark.parametrize("resumed", [False, True])
def test_a_peer_that_leaves_is_noticed(
    application: Paused, client: RawClient, resumed: bool
) -> None:
    transport = application.transports.get(timeout=TIMEOUT)
    client.read_head()
    if resumed:
        transport.resume_reading()
    client.close()
    if resumed:
        assert application.owner.received.get(timeout=TIMEOUT) == b""
    transport.close()
    assert application.owner.lost.get(timeout=TIMEOUT) is None


def test_the_loops_books_forget_the_descriptor(
    server: InsideServer, application: Paused, client: RawClient
) -> None:
    transport = application.transports.get(timeout=TIMEOUT)
    client.read_head()
    transport.abort()
    application.owner.lost.get(timeout=TIMEOUT)
    for _ in range(3):  # the next ones get the same number
        with server.connect() as another:
            another.send_request("GET", "/", *ASK)
            assert another.read_head().status == 101
            application.transports.get(timeout=TIMEOUT).abort()
            application.owner.lost.get(timeout=TIMEOUT)
