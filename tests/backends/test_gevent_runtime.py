"""gevent's waiters, timers and greenlets, on the hub of the test's own thread."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import gevent.monkey
import pytest
from gevent.exceptions import BlockingSwitchOutError
from greenlet import getcurrent

from dualws import hot
from dualws.hot.pure import Switcher
from dualws_gevent.runtime import Runtime, Waiter, native_ident
from support.program import python
from support.timing import TIMEOUT


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    made = Runtime()
    yield made
    made.hub.destroy(destroy_loop=False)


def test_a_wake_before_the_wait_is_kept(runtime: Runtime) -> None:
    waiter = runtime.waiter()
    waiter.wake()
    assert waiter.wait(TIMEOUT) is True
    assert waiter.wait(0) is False


def test_a_wake_from_a_greenlet(runtime: Runtime) -> None:
    waiter = runtime.waiter()
    for _ in range(3):
        runtime.spawn(waiter.wake)
        assert waiter.wait(TIMEOUT) is True


def test_a_wake_from_the_hub_runs_the_woken_code_at_once(runtime: Runtime) -> None:
    waiter = runtime.waiter()
    steps: list[str] = []

    def wait() -> None:
        waiter.wait(TIMEOUT)
        steps.append("woken")

    def in_hub() -> None:
        waiter.wake()
        steps.append("wake returned")

    greenlet = gevent.spawn(wait)
    runtime.call_later(0, in_hub)
    greenlet.join(TIMEOUT)
    gevent.sleep(0)
    assert steps == ["woken", "wake returned"]


def test_to_wait_in_the_hub_is_refused(runtime: Runtime) -> None:
    waiter = runtime.waiter()
    refusals: list[BaseException] = []

    def wait() -> None:
        try:
            waiter.wait()
        except BaseException as error:
            refusals.append(error)

    runtime.call_soon(wait)
    gevent.sleep(0)
    assert [type(refusal) for refusal in refusals] == [BlockingSwitchOutError]
    waiter.wake()
    assert waiter.wait() is True


def test_a_greenlet_that_looks_when_others_get_their_turn(runtime: Runtime) -> None:
    class Looking(gevent.Greenlet):
        looks = 0

        def switch_out(self) -> None:
            self.looks += 1

    waiter = runtime.waiter()
    waiting = Looking.spawn(waiter.wait)
    gevent.sleep(0)
    assert waiting.looks == 1
    waiter.wake()
    assert waiting.get(timeout=TIMEOUT) is True


def test_a_wake_from_another_thread(runtime: Runtime) -> None:
    waiter = runtime.waiter()
    thread = threading.Thread(target=waiter.wake)
    runtime.call_later(0, thread.start)
    assert waiter.wait(TIMEOUT) is True
    thread.join(TIMEOUT)


def test_waits_in_a_real_thread_whose_hub_has_nothing_to_do(runtime: Runtime) -> None:
    waiter = runtime.waiter()
    results: list[object] = []
    ended = gevent.get_hub().loop.async_()

    def wait() -> None:
        try:
            results.append(waiter.wait(0.01))
            results.append(waiter.wait())
            results.append(waiter.wait())
        except BaseException as error:
            results.append(error)
        ended.send()

    gevent.monkey.get_original("_thread", "start_new_thread")(wait, ())
    for answers in ([False], [False, True]):
        with gevent.Timeout(TIMEOUT):
            while results != answers:
                gevent.sleep(0.01)
        gevent.sleep(0.05)
        waiter.wake()
    with gevent.Timeout(TIMEOUT):
        gevent.get_hub().wait(ended)
    assert results == [False, True, True]


def test_a_wait_that_times_out_and_one_that_follows(runtime: Runtime) -> None:
    waiter = runtime.waiter()
    assert waiter.wait(0.01) is False
    runtime.call_later(0.01, waiter.wake)
    assert waiter.wait(TIMEOUT) is True


def test_a_note_for_an_earlier_wait_does_not_end_the_next(runtime: Runtime) -> None:
    waiter = runtime.waiter()

    def wake_then_wait_again() -> None:
        # wake() leaves a note for the hub; the wait below has taken the wake by then.
        waiter.wake()

    waiting = gevent.spawn(waiter.wait, TIMEOUT)
    gevent.sleep(0)
    gevent.spawn(wake_then_wait_again)
    assert waiting.get(timeout=TIMEOUT) is True
    assert waiter.wait(0.01) is False


def test_a_wake_from_a_thread_just_after_a_late_note_is_not_lost(runtime: Runtime) -> None:
    class Watched(Switcher):  # the compiled one lets no other thread come between
        """Is woken by another thread right after a look at whether it was woken."""

        armed = False
        woken = False
        _get_ident = staticmethod(native_ident)
        _wake_from_elsewhere = Waiter._wake_from_elsewhere

        @property
        def _woken(self) -> bool:
            seen = self.woken
            if self.armed:
                self.armed = False
                in_a_thread(self.wake)
            return seen

        @_woken.setter
        def _woken(self, value: bool) -> None:
            self.woken = value

        def late_note(self) -> None:
            self.armed = True
            self._deliver()

    waiter = Watched(runtime._ident, runtime.hub, getcurrent)
    waiting = gevent.spawn(waiter.wait)
    gevent.sleep(0)
    runtime.call_soon(waiter.late_note)
    assert waiting.get(timeout=TIMEOUT) is True


def in_a_thread(function: Callable[[], object]) -> None:
    """Call *function* in a real thread, without letting the hub run."""
    done = gevent.monkey.get_original("_thread", "allocate_lock")()
    done.acquire()

    def run() -> None:
        function()
        done.release()

    gevent.monkey.get_original("_thread", "start_new_thread")(run, ())
    assert done.acquire(timeout=TIMEOUT)


def test_a_kill_leaves_the_waiter_usable(runtime: Runtime) -> None:
    waiter = runtime.waiter()
    waiting = gevent.spawn(waiter.wait)
    gevent.sleep(0)
    waiting.kill()
    waiter.wake()
    assert waiter.wait(TIMEOUT) is True


def test_ten_thousand_wakes_from_a_thread_are_ten_thousand_waits(runtime: Runtime) -> None:
    there, back = runtime.waiter(), threading.Semaphore(0)

    def wake() -> None:
        for _ in range(10_000):
            there.wake()
            back.acquire(timeout=TIMEOUT)

    thread = threading.Thread(target=wake)
    thread.start()
    for _ in range(10_000):
        assert there.wait(TIMEOUT)
        back.release()
    thread.join(TIMEOUT)
    assert there.wait(0) is False


def test_timers(runtime: Runtime) -> None:
    waiter = runtime.waiter()
    calls: list[str] = []
    runtime.call_later(0.02, calls.append, "late")
    runtime.call_later(0.01, calls.append, "early")
    cancelled = runtime.call_later(0.01, calls.append, "never")
    cancelled.cancel()
    cancelled.cancel()
    runtime.call_later(0.03, waiter.wake)
    assert waiter.wait(TIMEOUT)
    assert calls == ["early", "late"]


def test_timers_from_another_thread(runtime: Runtime) -> None:
    waiter = runtime.waiter()
    calls: list[str] = []

    def other() -> None:
        runtime.call_later(0.01, calls.append, "never").cancel()
        runtime.call_later(0.02, waiter.wake)

    thread = threading.Thread(target=other)
    thread.start()
    assert waiter.wait(TIMEOUT)
    thread.join(TIMEOUT)
    assert calls == []


def test_what_fails_is_logged(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    waiter = runtime.waiter()

    async def coroutine() -> None:
        try:
            raise ValueError("in the coroutine")
        finally:
            asyncio.get_running_loop().call_later(0.01, waiter.wake)

    def fail(where: str) -> None:
        raise ValueError(where)

    with caplog.at_level(logging.ERROR, "dualws.server"):
        runtime.spawn(fail, "in the greenlet")
        runtime.call_later(0, fail, "in the timer")
        runtime.run_coroutine(coroutine())
        assert waiter.wait(TIMEOUT)
    assert all(f"in the {where}" in caplog.text for where in ("greenlet", "timer", "coroutine"))


def test_a_coroutine_runs_in_a_real_thread(runtime: Runtime) -> None:
    waiter = runtime.waiter()
    threads: list[int] = []

    async def coroutine() -> None:
        await asyncio.sleep(0)
        threads.append(threading.get_ident())
        waiter.wake()

    runtime.run_coroutine(coroutine())
    assert waiter.wait(TIMEOUT)
    assert threads[0] != threading.get_ident()
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


#: Page faults of greenlets that come and go, while others live.
_GREENLETS = """
import resource
from dualws import bootstrap
bootstrap.prepare("gevent")
import gevent
living = [gevent.spawn(gevent.sleep, 60) for _ in range(100)]
def turn():
    gevent.spawn(str, 1).join()
    gevent.spawn(lambda: None).join()
for _ in range(10):
    turn()
gevent.killall(living)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(500):
    turn()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not hot.COMPILED, reason="only C can do that")
def test_greenlets_that_come_and_go_share_the_memory_of_their_frames(tmp_path: Path) -> None:
    faults = int(python(tmp_path, "-c", _GREENLETS).stdout)
    assert faults < 500, "each would have a page of its own"
