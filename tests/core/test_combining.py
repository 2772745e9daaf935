"""Asking for many at once, step by step: who leads, who waits, and nobody for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from dualws import combining
from dualws.combining import Combiner
from dualws.testing.runtime import Waiter
from support.timing import TIMEOUT, eventually


class Killed(BaseException):
    """What ends a thread or greenlet that is killed."""


class KillableWaiter(Waiter):
    """A waiter that may be woken by a kill."""

    killed = False

    def wait(self, timeout: float | None = None) -> bool:
        woken = super().wait(timeout)
        if self.killed:
            raise Killed
        return woken


class Asked:
    """A combiner, what it was asked together, and how that goes on."""

    def __init__(self) -> None:
        self.waiters: list[KillableWaiter] = []
        runtime: Any = SimpleNamespace(lock=threading.Lock, waiter=self._waiter)
        self.combiner: Combiner[str, int, str] = Combiner(runtime, self._answer)
        self.batches: list[tuple[str, list[int]]] = []
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.result: Callable[[list[int]], list[str | None]] = lambda many: [
            f"{one}!" for one in many
        ]

    def _waiter(self) -> Waiter:
        self.waiters.append(KillableWaiter())
        return self.waiters[-1]

    def _answer(self, group: str, questions: list[int]) -> list[str | None]:
        self.batches.append((group, questions))
        self.begun.release()
        assert self.go_on.acquire(timeout=TIMEOUT)
        return self.result(questions)

    def wait(self, group: str, count: int) -> None:
        """Until *count* wait in *group*."""
        queues = self.combiner._queues
        eventually(lambda: len(queues.get(group, ())) == count, what=f"{count} in {group}")


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def ask(asked: Asked) -> Iterator[Callable[..., Future[str | None]]]:
    with ThreadPoolExecutor(16) as pool:
        yield lambda question, group="a": pool.submit(asked.combiner.ask, group, question)


Ask = Callable[..., Future[str | None]]


def begin(asked: Asked, ask: Ask, others: int) -> list[Future[str | None]]:
    """The first asks, and the others have queued up behind it, in their order."""
    futures = [ask(0)]
    assert asked.begun.acquire(timeout=TIMEOUT)
    for number in range(1, others + 1):
        futures.append(ask(number))
        asked.wait("a", number)
    return futures


def results(futures: list[Future[str | None]]) -> list[str | None]:
    return [future.result(TIMEOUT) for future in futures]


def test_those_that_come_meanwhile_are_answered_together(asked: Asked, ask: Ask) -> None:
    futures = begin(asked, ask, 5)
    asked.go_on.release(2)
    assert results(futures) == ["0!", "1!", "2!", "3!", "4!", "5!"]
    assert asked.batches == [("a", [0]), ("a", [1, 2, 3, 4, 5])]
    assert asked.combiner._queues == {}


def test_there_are_never_too_many_at_once(
    asked: Asked, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert combining.MOST == 500
    monkeypatch.setattr(combining, "MOST", 3)
    futures = begin(asked, ask, 7)
    asked.go_on.release(4)
    assert results(futures) == [f"{number}!" for number in range(8)]
    assert [questions for _, questions in asked.batches] == [[0], [1, 2, 3], [4, 5, 6], [7]]
    assert asked.combiner._queues == {}


def test_groups_do_not_meet(asked: Asked, ask: Ask) -> None:
    futures = [ask(0), ask(1, "b")]
    for _ in futures:
        assert asked.begun.acquire(timeout=TIMEOUT)
    futures += [ask(2), ask(3, "b")]
    for group in "ab":
        asked.wait(group, 1)
    asked.go_on.release(4)
    assert results(futures) == ["0!", "1!", "2!", "3!"]
    assert sorted(asked.batches) == [("a", [0]), ("a", [2]), ("b", [1]), ("b", [3])]
    assert asked.combiner._queues == {}


def test_a_failure_leaves_everybody_to_themselves(
    asked: Asked, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(questions: list[int]) -> list[str | None]:
        raise LookupError(f"nothing about {questions}")

    asked.result = fail
    futures = begin(asked, ask, 2)
    asked.go_on.release(2)
    assert results(futures) == [None, None, None]
    assert "2 requests are answered one by one: LookupError('nothing about [1, 2]')" in caplog.text


def test_too_few_answers_are_nobody_s(asked: Asked, ask: Ask) -> None:
    asked.result = lambda questions: ["one"] if len(questions) > 1 else [None]
    futures = begin(asked, ask, 2)
    asked.go_on.release(2)
    assert results(futures) == [None, None, None]


def test_who_is_killed_while_it_leads_leaves_nobody_waiting(asked: Asked, ask: Ask) -> None:
    def die(questions: list[int]) -> list[str | None]:
        asked.result = lambda many: [f"{one}!" for one in many]
        raise Killed

    futures = begin(asked, ask, 2)
    asked.go_on.release()
    assert futures[0].result(TIMEOUT) == "0!"
    assert asked.begun.acquire(timeout=TIMEOUT)
    asked.result = die
    futures.append(ask(3))
    asked.wait("a", 1)
    asked.go_on.release(2)
    with pytest.raises(Killed):
        futures[1].result(TIMEOUT)
    assert results(futures[2:]) == [None, "3!"]
    assert asked.combiner._queues == {}


def test_who_is_killed_while_it_gives_way_leaves_nobody_waiting(
    asked: Asked, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, released = threading.Semaphore(0), threading.Semaphore(0)

    def sleep(seconds: float) -> None:
        monkeypatch.undo()
        entered.release()
        assert released.acquire(timeout=TIMEOUT)
        raise Killed

    monkeypatch.setattr(combining, "time", SimpleNamespace(sleep=sleep))
    futures = [ask(0)]
    assert entered.acquire(timeout=TIMEOUT)
    futures += [ask(1), ask(2)]
    asked.wait("a", 3)
    released.release()
    asked.go_on.release()
    with pytest.raises(Killed):
        futures[0].result(TIMEOUT)
    assert sorted(filter(None, results(futures[1:]))) == ["1!", "2!"]
    assert asked.combiner._queues == {}


@pytest.mark.parametrize("when", ["while it waits", "when it is its turn", "when it is answered"])
def test_who_is_killed_is_not_waited_for(asked: Asked, ask: Ask, when: str) -> None:
    futures = begin(asked, ask, 3)
    victim = 2 if when == "when it is answered" else 1
    asked.waiters[victim].killed = True
    if when == "while it waits":
        asked.waiters[victim].wake()
        asked.wait("a", 2)
    asked.go_on.release(2)
    with pytest.raises(Killed):
        futures.pop(victim).result(TIMEOUT)
    assert results(futures) == ["0!", "2!" if victim == 1 else "1!", "3!"]
    assert asked.batches[1:] == [("a", [1, 2, 3] if victim == 2 else [2, 3])]
    assert asked.combiner._queues == {}
