"""Messages in fragments and the others: who waits for whom, and what the close waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from dualws.connection import Connection
from dualws.contract import ServerConfig
from dualws.errors import WebSocketClosed
from dualws.protocol.stream import Stream
from support.noted import Case, frame
from support.timing import TIMEOUT


def elsewhere(function: Callable[..., object], *args: object) -> object:
    """Call it in a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result(TIMEOUT)


def test_who_waits_for_a_turn_is_let_go_when_the_connection_is_lost() -> None:
    server: Any = SimpleNamespace(config=ServerConfig(), connections=set(), forget=lambda _: None)
    server.runtime = SimpleNamespace(lock=threading.Lock)
    connection = Connection(server, Stream())
    connection.open(SimpleNamespace(resume_reading=lambda: None, write=lambda _: 0, buffered=0))
    woken: list[str] = []

    # The first one's iterator waits for something that never comes.
    assert connection.begin_fragments(lambda: woken.append("first"))
    for name in ("second", "third"):
        began = elsewhere(connection.begin_fragments, lambda name=name: woken.append(name))
        assert began is False
    connection.connection_lost(None)
    assert woken == ["second", "third"]
    with pytest.raises(WebSocketClosed):
        connection.write_fragment(b"x")
    for _ in range(3):
        connection.end_fragments(complete=False)
    assert woken == ["second", "third"]


@pytest.fixture
def case() -> Case:
    """A connection with room for 100 bytes, on which a message in fragments is under way."""
    case = Case(send_buffer_size=100)
    assert case.connection.begin_fragments(lambda: None)
    case.connection.write_fragment(b"one")
    return case


def test_what_is_held_goes_out_before_the_close(case: Case) -> None:
    case.connection.write(b"held")
    case.connection.close(4001, "done")
    assert case.connection.closed
    with pytest.raises(WebSocketClosed, match="4001"):
        case.connection.write(b"late")
    case.connection.write_fragment(b"two")
    case.connection.end_fragments(complete=True)
    assert case.transport.written == [b"one", b"two", b"held", b"\x88\x06\x0f\xa1done"]
    assert [timer.cancelled for timer in case.runtime.timers] == [False, False]
    case.runtime.timers[0].call()
    assert len(case.transport.written) == 4


def test_the_close_waits_for_nothing_that_is_not_held(case: Case) -> None:
    case.connection.close(4001)
    assert case.transport.written == [b"one", b"\x88\x02\x0f\xa1"]
    with pytest.raises(WebSocketClosed):
        case.connection.write_fragment(b"two")


def test_the_close_does_not_wait_for_long(case: Case) -> None:
    case.connection.write(b"held")
    case.connection.close(4001)
    assert case.transport.written == [b"one"]
    (grace,) = case.runtime.timers
    grace.call()
    assert case.transport.written == [b"one", b"\x88\x02\x0f\xa1"]
    with pytest.raises(WebSocketClosed):
        case.connection.write_fragment(b"two")
    case.connection.end_fragments(complete=False)
    assert len(case.transport.written) == 2


def test_a_message_that_breaks_off_takes_what_it_holds_with_it(case: Case) -> None:
    case.connection.write(b"held")
    case.connection.close(4001)
    case.connection.end_fragments(complete=False)
    assert case.transport.written == [b"one", b"\x88\x02\x0f\xa1"]
    assert case.connection.close_code == 4001


@pytest.mark.parametrize("crossing", [False, True])
def test_the_peers_close_is_answered_behind_what_is_held(case: Case, crossing: bool) -> None:
    case.connection.write(b"held")
    if crossing:
        case.connection.close(1000)
    case.receive(frame(0x88, b"\x03\xe8"))
    assert case.transport.ended == ""
    if not crossing:
        case.take()
    assert case.transport.written == [b"one"]
    case.connection.end_fragments(complete=True)
    assert case.transport.written == [b"one", b"held", b"\x88\x02\x03\xe8"]
    assert case.transport.ended == "closed"


def test_a_slow_producer_is_not_the_peers_fault(case: Case) -> None:
    def nothing() -> None:
        """Until the send timeout."""

    def end() -> None:
        case.connection.end_fragments(complete=True)

    case.runtime.plan = [nothing, nothing, end]
    elsewhere(case.connection.send, bytes(101))
    assert case.connection.close_code is None
    assert case.transport.written == [b"one", bytes(101)]
    assert not case.runtime.plan


def test_a_peer_that_does_not_read_is_given_up_behind_a_producer_too(case: Case) -> None:
    case.transport.buffered = 1
    with pytest.raises(WebSocketClosed, match="1008"):
        elsewhere(case.connection.send, bytes(101))


def test_the_producer_waits_for_the_peer_and_not_for_itself(case: Case) -> None:
    case.connection.write(bytes(500))
    case.transport.buffered = 101

    def drain() -> None:
        case.transport.buffered = 0
        case.connection.drained()

    case.runtime.plan = [drain]
    case.connection.send_fragment(b"two", wait=True)
    assert not case.runtime.plan


def test_who_does_not_wait_cannot_pile_messages_up_behind_a_producer(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    assert case.connection.send_nowait(bytes(101))
    assert not case.connection.send_nowait(b"more")
    assert case.connection.close_code == 1011
    assert "holds up 101 bytes" in caplog.text


def test_a_message_in_fragments_inside_another_is_an_error(case: Case) -> None:
    with pytest.raises(RuntimeError, match="inside the iterator"):
        case.connection.begin_fragments(lambda: None)
    case.connection.end_fragments(complete=True)
    assert case.connection.begin_fragments(lambda: None)


def test_messages_inside_a_message_in_fragments_are_held_up_to_the_limit(case: Case) -> None:
    case.connection.send(bytes(101))
    with pytest.raises(RuntimeError, match="send_buffer_size"):
        case.connection.send(b"x")
    case.connection.end_fragments(complete=True)
    case.connection.send(b"y")
    assert case.transport.written == [b"one", bytes(101), b"y"]


def test_who_was_stopped_while_waiting_for_the_peer_waits_before_the_next_message(
    case: Case,
) -> None:
    class Stopped(BaseException):
        pass

    def stop() -> None:
        raise Stopped

    def drain() -> None:
        case.transport.buffered = 0
        case.connection.drained()

    case.connection.end_fragments(complete=True)
    case.transport.buffered = 101
    case.runtime.plan = [stop, stop, drain]
    for _ in range(2):
        with pytest.raises(Stopped):
            case.connection.send(b"x")
    assert case.transport.written == [b"one", b"x"]
    case.connection.send(b"y")
    assert case.transport.written == [b"one", b"x", b"y"]
    assert not case.connection.behind
