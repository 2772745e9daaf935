"""Threads that read their own sockets: who reads when, and that nothing is missed meanwhile."""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import threading
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from dualws.contract import Environ, StartResponse
from dualws.protocol.frames import CLOSE, PING, PONG, TEXT
from dualws_tornado import reading
from support import frames
from support.timing import QUIET, TIMEOUT, eventually
from support.tornado_server import InsideServer, running


class Echo:
    """Echoes; ``hold`` makes the view stay away from ``receive()`` until it is let go."""

    def __init__(self) -> None:
        self.sockets: queue.Queue[Any] = queue.Queue()
        self.go = threading.Event()
        self.held = threading.Event()
        self.timeout: float | None = None
        self.outcome: queue.Queue[Any] = queue.Queue()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        ws = environ["wsgi.websocket"]
        ws.accept()
        self.sockets.put(ws)
        while True:
            try:
                message = ws.receive(self.timeout)
            except TimeoutError as error:
                self.outcome.put(error)
                self.timeout = None
                continue
            if message is None:
                break
            if message == "hold":
                self.held.set()
                assert self.go.wait(TIMEOUT)
            elif message == "time out":
                self.timeout = QUIET
            else:
                ws.send(message)
        self.outcome.put((ws.close_code, ws.close_reason))
        return []


class Case:
    def __init__(self, server: InsideServer, echo: Echo) -> None:
        self.server = server
        self.echo = echo
        self.client = server.connect()
        frames.handshake(self.client, "/", "a")
        self.ws = echo.sockets.get(timeout=TIMEOUT)
        self.transport = self.ws.connection._transport

    def say(self, text: str) -> None:
        self.client.send(frames.build(TEXT, text.encode()))

    def ask(self, text: str) -> None:
        self.say(text)
        frame = frames.read_frame(self.client)
        assert (frame.opcode, frame.payload) == (TEXT, text.encode())

    def lend(self) -> None:
        """Have the handler's thread read."""
        self.ask("first")
        self.ask("second")
        eventually(self.reads, what="the thread did not begin to read")

    def reads(self) -> bool:
        waiter = self.transport._waiter
        return bool(waiter is not None and waiter.reading)


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.go.set()


@pytest.fixture
def case(echo: Echo) -> Iterator[Case]:
    with running(echo) as server:
        case = Case(server, echo)
        with case.client:
            yield case
        echo.go.set()


def test_the_thread_reads_once_messages_come(case: Case) -> None:
    case.lend()
    case.server.on_loop(lambda: None)
    loop_reads: list[bytes] = []
    original = case.transport._on_readable
    case.transport._on_readable = lambda: (loop_reads.append(b""), original())
    for number in range(50):
        case.ask(f"message {number}")
    assert loop_reads == []


def test_pings_are_answered_while_the_thread_reads(case: Case) -> None:
    case.lend()
    case.client.send(frames.build(PING, b"are you there"))
    frame = frames.read_frame(case.client)
    assert (frame.opcode, frame.payload) == (PONG, b"are you there")
    case.ask("third")


def test_the_loop_reads_for_a_thread_that_is_busy(case: Case, echo: Echo) -> None:
    case.lend()
    case.say("hold")
    assert echo.held.wait(TIMEOUT)
    case.client.send(frames.build(PING, b"and now"))
    frame = frames.read_frame(case.client)
    assert (frame.opcode, frame.payload) == (PONG, b"and now")
    echo.go.set()
    case.lend()


@pytest.mark.parametrize("when", ["while the thread reads", "while it is busy"])
def test_a_close_by_other_code_ends_the_wait(case: Case, echo: Echo, when: str) -> None:
    case.lend()
    if when == "while it is busy":
        case.say("hold")
        assert echo.held.wait(TIMEOUT)
    case.ws.close(4401, "signed out")
    frame = frames.read_frame(case.client)
    assert (frame.close_code, frame.close_reason) == (4401, "signed out")
    case.client.send(frames.build(CLOSE, frames.close_payload(4401)))
    echo.go.set()
    assert echo.outcome.get(timeout=TIMEOUT) == (4401, "signed out")
    assert case.client.read_to_end() == b""
    case.client.sock.close()
    eventually(lambda: not case.server.server.connections, what="it is still counted")


def test_the_close_frame_of_the_peer_is_answered(case: Case, echo: Echo) -> None:
    case.lend()
    case.client.send(frames.build(CLOSE, frames.close_payload(1001, "away")))
    assert frames.read_frame(case.client).close_code == 1001
    assert echo.outcome.get(timeout=TIMEOUT) == (1001, "away")
    assert case.client.read_to_end() == b""


@pytest.mark.parametrize("when", ["while the thread reads", "while it is busy"])
@pytest.mark.parametrize("how", ["FIN", "RST"])
def test_a_peer_that_vanishes_ends_the_wait(case: Case, echo: Echo, when: str, how: str) -> None:
    case.lend()
    if when == "while it is busy":
        case.say("hold")
        assert echo.held.wait(TIMEOUT)
    if how == "RST":
        case.client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    case.client.sock.close()
    eventually(lambda: case.ws.close_code == 1006, what="nobody noticed")
    echo.go.set()
    code, _ = echo.outcome.get(timeout=TIMEOUT)
    assert code == 1006
    eventually(lambda: not case.server.server.connections, what="it is still counted")


def test_an_abort_ends_the_wait(case: Case, echo: Echo) -> None:
    case.lend()
    case.ws.connection.abort()
    code, _ = echo.outcome.get(timeout=TIMEOUT)
    assert code == 1006


def test_a_timeout_passes_while_the_thread_reads(case: Case, echo: Echo) -> None:
    case.lend()
    case.say("time out")
    assert isinstance(echo.outcome.get(timeout=TIMEOUT), TimeoutError)
    case.ask("still there")


@pytest.mark.parametrize("seconds", [1e12, float("inf")])
def test_a_timeout_may_be_longer_than_the_system_waits(
    case: Case, echo: Echo, seconds: float
) -> None:
    case.lend()
    echo.timeout = seconds
    case.ask("one")
    case.ask("two")
    assert echo.outcome.empty()


def test_a_full_inbox_pauses_and_goes_on(case: Case, echo: Echo) -> None:
    case.lend()
    case.say("hold")
    assert echo.held.wait(TIMEOUT)
    many = [f"message {number}" for number in range(200)]
    case.client.send(b"".join(frames.build(TEXT, text.encode()) for text in many))
    eventually(lambda: case.transport._paused, what="reading did not pause")
    echo.go.set()
    assert [frames.read_frame(case.client).payload.decode() for _ in many] == many
    case.lend()


def test_without_a_descriptor_the_loop_reads(monkeypatch: pytest.MonkeyPatch, echo: Echo) -> None:
    def none_left() -> reading.Bell:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(reading, "Bell", none_left)
    with running(echo) as server:
        case = Case(server, echo)
        with case.client:
            for number in range(5):
                case.ask(f"message {number}")
            assert not case.reads()


def test_a_thread_whose_socket_is_silent_holds_no_descriptor(
    monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    bells: list[reading.Bell] = []
    make = reading.Bell
    monkeypatch.setattr(reading, "Bell", lambda: bells.append(make()) or bells[-1])
    again = Case(case.server, case.echo)
    with again.client:
        waiting = again.ws.connection
        eventually(lambda: waiting._waiter and waiting._waiter.parked, what="it does not wait")
        assert bells == []
        again.lend()
        assert len(bells) == 1


def test_looks_end_when_all_is_quiet_and_begin_again(
    monkeypatch: pytest.MonkeyPatch, case: Case, echo: Echo
) -> None:
    monkeypatch.setattr(reading, "_QUIET_LOOKS", 2)
    case.lend()
    lent = case.transport.lenders
    eventually(lambda: not lent.looking, what="looks go on for ever")
    case.say("hold")
    assert echo.held.wait(TIMEOUT)
    case.client.send(frames.build(PING, b""))
    assert frames.read_frame(case.client).opcode == PONG


def test_a_bell_can_be_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    if hasattr(reading.os, "eventfd"):
        monkeypatch.delattr(reading.os, "eventfd")
    bell = reading.Bell()
    bell.ring()
    bell.silence()
    with pytest.raises(BlockingIOError):
        bell.silence()


@pytest.fixture
def waiter() -> Iterator[reading.ReadingWaiter]:
    """That of a socket which the loop reads."""
    with socket.socket() as sock:
        transport = SimpleNamespace(lent=False, descriptor=sock.fileno())
        yield reading.ReadingWaiter(transport, threading.Lock())


def test_a_wake_before_the_wait_is_not_lost(waiter: reading.ReadingWaiter) -> None:
    waiter.wake()
    assert waiter.wait(0) is True
    assert waiter.wait(0) is False


def test_a_wake_after_a_timeout_meets_the_next_wait(waiter: reading.ReadingWaiter) -> None:
    assert waiter.wait(0.001) is False
    waiter.wake()
    assert waiter.wait() is True
    assert waiter.wait(-1) is False


@pytest.mark.parametrize("timeout", [None, 0.0, 1e-5, 1e-4])
def test_no_wake_is_lost_to_a_wait_or_its_timeout(
    waiter: reading.ReadingWaiter, timeout: float | None
) -> None:
    """Whatever the thread is about when it is woken: one wait tells of each wake."""
    woken: queue.Queue[bool] = queue.Queue()
    rounds = 500

    def wait() -> None:
        for _ in range(rounds):
            while not waiter.wait(timeout):
                pass
            woken.put(True)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    for _ in range(rounds):
        waiter.wake()
        assert woken.get(timeout=TIMEOUT)
    thread.join(TIMEOUT)
    assert not thread.is_alive()
    assert waiter.wait(0) is False


def test_many_threads_at_once(echo: Echo) -> None:
    with running(echo, max_blocking_handlers=40) as server, contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(Case(server, echo).client) for _ in range(40)]
        for number in range(30):
            for client in crowd:
                client.send(frames.build(TEXT, str(number).encode()))
            for client in crowd:
                assert frames.read_frame(client).payload == str(number).encode()
