"""Threads that run in turn: in order, never for ever held back, and each wake meets its wait."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from dualws_tornado.turns import Turns, TurnWaiter
from support.timing import QUIET, TIMEOUT, eventually


class Case:
    """Turns whose looks are taken by the test, one at a time allowed."""

    def __init__(self) -> None:
        self.looks: list[Callable[[], None]] = []
        self.turns = Turns(lambda seconds, look: self.looks.append(look))
        self.turns._allowed = 1
        self.ran: list[int] = []
        self.threads: list[threading.Thread] = []

    def look(self) -> None:
        self.looks.pop()()

    def parked(self, number: int, hold: threading.Event | None = None) -> TurnWaiter:
        """A waiter whose thread waits once, notes its number and goes on until *hold* is set."""
        waiter = TurnWaiter(self.turns)

        def run() -> None:
            waiter.wait()
            self.ran.append(number)
            if hold is not None:
                hold.wait(TIMEOUT)
            self.turns.leave()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.threads.append(thread)
        eventually(lambda: waiter.parked, what=f"thread {number} did not park")
        return waiter

    def join(self) -> None:
        for thread in self.threads:
            thread.join(TIMEOUT)
            assert not thread.is_alive()


@pytest.fixture
def case() -> Case:
    return Case()


def test_the_thread_that_ends_its_turn_wakes_the_next_in_order(case: Case) -> None:
    hold = threading.Event()
    first = case.parked(0, hold)
    others = [case.parked(number) for number in range(1, 6)]
    first.wake()
    for waiter in others:
        waiter.wake()
    eventually(lambda: case.ran == [0], what="the first did not run")
    threading.Event().wait(QUIET)
    assert case.ran == [0]
    hold.set()
    case.join()
    assert case.ran == [0, 1, 2, 3, 4, 5]


def test_handlers_that_wait_for_something_else_hold_nobody_back(case: Case) -> None:
    hold = threading.Event()
    waiters = [case.parked(number, hold) for number in range(20)]
    for waiter in waiters:
        waiter.wake()
    # 2, 4, 8, 16, 32 may run: each look finds that turns do not end.
    for _ in range(5):
        case.look()
    eventually(lambda: len(case.ran) == 20, what="some were held back")
    hold.set()
    case.join()
    assert case.turns._running == {}


@pytest.fixture
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the threads do, it looks like many short turns on a busy processor."""
    monkeypatch.setattr("dualws_tornado.turns._PLENTY", 0)
    monkeypatch.setattr("dualws_tornado.turns._BUSY", 0)


@pytest.mark.usefixtures("short_turns")
def test_a_turn_that_lasts_counts_no_more(case: Case) -> None:
    hold = threading.Event()
    case.parked(0, hold).wake()
    eventually(lambda: case.ran == [0], what="the first did not run")
    other = case.parked(1)
    other.wake()
    for _ in range(3):
        case.look()
    assert case.turns.allowed == 1
    eventually(lambda: case.ran == [0, 1], what="the second was held back")
    hold.set()
    case.join()


@pytest.mark.usefixtures("short_turns")
def test_short_turns_bring_the_number_down(case: Case) -> None:
    case.turns._allowed = 1024
    hold = threading.Event()
    for waiter in [case.parked(number, hold) for number in range(8)]:
        waiter.wake()
    case.look()
    assert case.turns.allowed == 4
    hold.set()
    case.join()


def test_no_look_is_taken_when_all_is_quiet(case: Case) -> None:
    hold = threading.Event()
    case.parked(0, hold).wake()
    assert case.looks == []  # one alone disturbs nobody
    case.parked(1).wake()
    assert len(case.looks) == 1
    hold.set()
    case.join()
    case.look()
    assert case.looks == []


def test_a_wake_before_the_wait_is_not_lost(case: Case) -> None:
    waiter = TurnWaiter(case.turns)
    waiter.wake()
    assert waiter.wait(0) is True
    assert waiter.wait(0) is False


def test_a_timeout_takes_no_wake_away(case: Case) -> None:
    waiter = TurnWaiter(case.turns)
    assert waiter.wait(0) is False
    waiter.wake()
    assert waiter.wait(0) is True


def test_one_that_is_woken_while_it_queues_past_its_timeout_was_woken(case: Case) -> None:
    hold = threading.Event()
    case.parked(0, hold).wake()
    waiter = TurnWaiter(case.turns)
    outcome: list[bool] = []
    thread = threading.Thread(target=lambda: outcome.append(waiter.wait(QUIET)), daemon=True)
    thread.start()
    eventually(lambda: waiter.parked, what="it did not park")
    waiter.wake()
    thread.join(TIMEOUT)
    assert outcome == [True]
    assert waiter.wait(0) is False
    hold.set()
    case.join()


def test_every_wake_meets_a_wait_under_load() -> None:
    turns = Turns(lambda seconds, look: threading.Timer(seconds, look).start())
    waiters = [TurnWaiter(turns) for _ in range(16)]
    answered = [0] * len(waiters)
    done = threading.Barrier(len(waiters) + 1)

    def run(number: int) -> None:
        waiter = waiters[number]
        following = waiters[(number + 1) % len(waiters)]
        for _ in range(200):
            assert waiter.wait(TIMEOUT)
            answered[number] += 1
            following.wake()
        turns.leave()
        done.wait(TIMEOUT)

    for number in range(len(waiters)):
        threading.Thread(target=run, args=(number,), daemon=True).start()
    waiters[0].wake()
    done.wait(TIMEOUT)
    assert answered == [200] * len(waiters)
    eventually(lambda: not turns._looking, what="looks go on although all is quiet")
