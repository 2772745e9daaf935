"""Bursts of pings, and peers that leave while nothing is read from them."""

from __future__ import annotations

import pytest

from dualws.connection import ENDED, WAIT
from support.noted import Case, frame


@pytest.fixture
def case() -> Case:
    return Case(max_queued_messages=1)


def test_the_latest_pings_of_a_burst_are_answered(case: Case) -> None:
    case.receive(*[frame(0x89, b"%d" % number) for number in range(300)])
    pongs = b"".join(b"\x8a\x03%d" % number for number in range(284, 300))
    assert case.transport.written == [pongs]


def test_every_ping_of_a_short_burst_is_answered_before_the_close(case: Case) -> None:
    assert case.take() is WAIT
    case.receive(*[frame(0x89, b"%d" % number) for number in range(10)], frame(0x88))
    pongs = b"".join(b"\x8a\x01%d" % number for number in range(10))
    assert case.transport.written == [pongs, b"\x88\x00"]


def test_a_peer_that_reads_again_gets_the_latest_pong(case: Case) -> None:
    case.transport.buffered = 100_000
    for number in range(3):
        case.receive(frame(0x89, b"%d" % number))
    assert case.transport.written == []
    case.transport.buffered = 0
    case.connection.drained()
    assert case.transport.written == [b"\x8a\x012"]
    case.connection.drained()
    assert len(case.transport.written) == 1


def ticks(case: Case, number: int) -> None:
    for _ in range(number):
        case.connection.tick(4, 8)


def test_a_peer_that_is_not_read_from_is_pinged(case: Case) -> None:
    case.receive(frame(0x81, b"x"))
    ticks(case, 1 + 16)
    assert case.transport.written == [b"\x89\x00", b"\x89\x00"]


def test_a_peer_that_left_while_it_was_not_read_from_is_given_up(case: Case) -> None:
    case.receive(frame(0x81, b"x"))
    case.transport.departure = lambda silence: "it left"
    ticks(case, 8)
    assert case.transport.ended == ""
    ticks(case, 1)
    assert case.transport.ended == "aborted"
    assert case.transport.written == []
    case.connection.connection_lost(None)
    assert (case.connection.close_code, case.connection.close_reason) == (1006, "it left")
    assert case.take() == "x"
    assert case.take() is ENDED


def test_a_handler_that_works_is_given_time_though_the_peer_has_left() -> None:
    case = Case(max_queued_messages=100)
    case.transport.departure = lambda silence: "it left"
    case.receive(*[frame(0x81, b"x")] * 100)
    for _ in range(40):
        ticks(case, 7)
        assert case.take() == "x"
    assert case.transport.ended == ""
