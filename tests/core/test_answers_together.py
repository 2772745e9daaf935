"""Answers to messages that came together go out together, in order and never late."""

from __future__ import annotations

import pytest

from dualws.connection import ENDED, WAIT
from dualws.flushing import DELAY
from support.noted import Case, frame

PONG = b"\x8a\x00"


@pytest.fixture
def case() -> Case:
    return Case()


def come(case: Case, count: int, *more: bytes) -> None:
    case.receive(*(frame(0x81, b"%d" % number) for number in range(count)), *more)


def answer(case: Case, text: bytes = b"answer ") -> None:
    """Take a message and answer it."""
    message = case.take()
    assert isinstance(message, str)
    case.connection.send(text + message.encode())


def test_answers_wait_for_the_last_one(case: Case) -> None:
    come(case, 3)
    answer(case)
    answer(case)
    assert case.transport.written == []
    answer(case)
    assert case.transport.written == [b"answer 0answer 1answer 2"]


def test_a_handler_that_does_not_answer_the_last_one_sends_what_it_has(case: Case) -> None:
    come(case, 2)
    answer(case)
    assert case.take() == "1"
    assert case.transport.written == []
    assert case.take() is WAIT
    assert case.transport.written == [b"answer 0"]


def test_an_answer_waits_for_a_slow_handler_no_longer_than_the_delay(case: Case) -> None:
    come(case, 3)
    answer(case)
    (timer,) = case.runtime.timers
    assert timer.delay == DELAY
    answer(case)
    assert case.runtime.timers == [timer]  # one is enough
    timer.call()
    assert case.transport.written == [b"answer 0answer 1"]
    answer(case)
    assert case.transport.written == [b"answer 0answer 1", b"answer 2"]


def test_the_next_answers_have_a_timer_again(case: Case) -> None:
    come(case, 2)
    answer(case)
    case.runtime.timers[0].call()
    come(case, 2)
    answer(case)
    assert len(case.runtime.timers) == 2
    case.runtime.timers[1].call()
    assert case.transport.written == [b"answer 0", b"answer 1"]


def test_many_answers_do_not_pile_up(case: Case) -> None:
    come(case, 4)
    answer(case, b"a" * 40_000)
    assert case.transport.written == []
    answer(case, b"b" * 40_000)
    assert [len(data) for data in case.transport.written] == [80_002]


def test_no_more_is_kept_than_the_send_buffer_holds() -> None:
    case = Case(send_buffer_size=10)
    come(case, 3)
    answer(case)
    assert case.transport.written == []
    answer(case)
    assert case.transport.written == [b"answer 0answer 1"]


def test_control_frames_keep_the_order(case: Case) -> None:
    come(case, 3)
    answer(case)
    case.receive(frame(0x89))
    assert case.transport.written == [b"answer 0", PONG]
    answer(case)
    case.connection.close(1000)
    assert case.transport.written[2:] == [b"answer 1", b"\x88\x02\x03\xe8"]


def test_fragments_keep_the_order(case: Case) -> None:
    come(case, 2)
    answer(case)
    assert case.connection.begin_fragments(lambda: None)
    case.connection.write_fragment(b"\x01\x01a")
    assert case.transport.written == [b"answer 0", b"\x01\x01a"]


def test_the_end_of_the_peer_comes_behind_the_answers(case: Case) -> None:
    come(case, 2, frame(0x88, b"\x03\xe8"))
    answer(case)
    assert case.take() == "1"
    assert case.take() is ENDED
    assert case.transport.written == [b"answer 0", b"\x88\x02\x03\xe8"]


def test_a_peer_that_went_without_a_word_still_gets_the_answers(case: Case) -> None:
    come(case, 2)
    answer(case)
    case.connection.eof_received()
    assert case.take() == "1"
    assert case.take() is ENDED
    assert (case.transport.written, case.transport.ended) == ([b"answer 0"], "closed")


def test_nothing_is_sent_after_the_connection_is_lost(case: Case) -> None:
    come(case, 2)
    answer(case)
    case.connection.connection_lost(None)
    case.runtime.timers[0].call()
    assert case.transport.written == []
