"""How code waits and starts on Tornado: waiters, timers, coroutines, the pools of threads."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import socket
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from dualws.contract import Environ, StartResponse
from dualws_tornado import workers
from dualws_tornado.runtime import Runtime, Waiter
from dualws_tornado.transport import Transport
from dualws_tornado.workers import Workers
from support.timing import QUIET, TIMEOUT, eventually
from support.tornado_server import InsideServer, running


def hello(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"hello"]


@pytest.fixture
def server() -> Iterator[InsideServer]:
    with running(hello) as inside:
        yield inside


@pytest.fixture
def runtime(server: InsideServer) -> Runtime:
    return server.server.runtime


def test_a_wake_before_the_wait_is_not_lost() -> None:
    waiter = Waiter()
    waiter.wake()
    assert waiter.wait(0) is True
    assert waiter.wait(0) is False


def test_a_wake_after_a_timeout_meets_the_next_wait() -> None:
    waiter = Waiter()
    assert waiter.wait(0.001) is False
    waiter.wake()
    assert waiter.wait() is True
    assert waiter.wait(-1) is False


def test_timers_from_any_thread_run_on_the_loop(server: InsideServer, runtime: Runtime) -> None:
    threads: list[int] = []
    done = threading.Event()

    def call(last: bool) -> None:
        threads.append(threading.get_ident())
        if last:
            done.set()

    runtime.call_later(0.001, call, False)
    server.on_loop(lambda: runtime.call_later(0.002, call, True))
    assert done.wait(TIMEOUT)
    eventually(lambda: len(threads) == 2, what="both were called")
    assert set(threads) == {server.thread.ident}


def test_a_cancelled_timer_does_not_run(server: InsideServer, runtime: Runtime) -> None:
    called: list[str] = []
    here = runtime.call_later(0.0, called.append, "cancelled before the loop knew of it")
    here.cancel()
    there = server.on_loop(lambda: runtime.call_later(QUIET / 10, called.append, "cancelled there"))
    there.cancel()
    there.cancel()
    done = threading.Event()
    runtime.call_later(QUIET / 3, done.set)
    assert done.wait(TIMEOUT)
    assert called == []


def test_coroutines_run_in_the_callers_context(server: InsideServer, runtime: Runtime) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    seen: list[Any] = []
    done = threading.Event()

    async def work() -> None:
        await asyncio.sleep(0)
        seen.extend([variable.get(), threading.get_ident()])
        done.set()

    def call() -> None:
        variable.set("set")
        runtime.run_coroutine(work())

    contextvars.Context().run(call)
    assert done.wait(TIMEOUT)
    assert seen == ["set", server.thread.ident]


def fail() -> None:
    raise ValueError("expected by the test")


async def fail_later() -> None:
    fail()


@pytest.mark.parametrize(
    "start",
    [
        lambda runtime: runtime.run_coroutine(fail_later()),
        lambda runtime: runtime.call_later(0, fail),
        lambda runtime: runtime.spawn(fail),
        lambda runtime: runtime.submit(fail),
    ],
    ids=["run_coroutine", "call_later", "spawn", "submit"],
)
def test_errors_in_the_background_are_logged(
    start: Any, runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    start(runtime)
    eventually(lambda: caplog.records, what="the error is logged")
    record = caplog.records[0]
    assert record.name == "dualws.server"
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "expected by the test"
    caplog.clear()


def test_each_job_has_a_context_of_its_own(runtime: Runtime) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    seen: list[int] = []
    turns = threading.Semaphore(0)

    def job() -> None:
        seen.append(variable.get())
        variable.set(1)
        turns.release()

    for start in (runtime.submit, runtime.spawn):
        for _ in range(4):
            start(job)
            assert turns.acquire(timeout=TIMEOUT)
    assert seen == [0] * 8


def test_a_runtime_that_does_not_run_says_so() -> None:
    with pytest.raises(RuntimeError, match=r"starts with Server\.run"):
        Runtime(1).call_later(0, fail)


def test_latecomers_do_no_harm() -> None:
    """Daemon threads may outlive the server; what they call then must not raise."""
    with running(hello) as inside:
        runtime: Any = inside.server.runtime
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        owner: Any = type("Owner", (), {})()
        owner.connection_lost = lambda error: None
        transport = inside.on_loop(lambda: Transport(runtime, ours, owner))
        timer = runtime.call_later(1000, fail)
    theirs.close()
    timer.cancel()
    transport.write(b"x" * 10)
    transport.resume_reading()
    transport.close()
    transport.abort()
    runtime.call_later(0, fail)
    ours.close()


# -- the pools ----------------------------------------------------------------------


def test_a_pool_grows_to_its_limit_and_no_further() -> None:
    pool = Workers(3, 0, "test")
    gate = threading.Event()
    started = threading.Semaphore(0)
    names: set[str] = set()

    def job() -> None:
        names.add(threading.current_thread().name)
        started.release()
        gate.wait(TIMEOUT)

    for _ in range(5):
        pool.submit(job)
    for _ in range(3):
        assert started.acquire(timeout=TIMEOUT)
    assert not started.acquire(timeout=QUIET)
    gate.set()
    for _ in range(2):
        assert started.acquire(timeout=TIMEOUT)
    assert len(names) == 3
    assert pool.running == 3


def test_an_idle_thread_is_used_again_and_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "IDLE_TIME", QUIET)
    pool = Workers(3, 0, "test")
    threads: list[threading.Thread] = []
    turns = threading.Semaphore(0)

    def job() -> None:
        threads.append(threading.current_thread())
        turns.release()

    pool.submit(job)
    assert turns.acquire(timeout=TIMEOUT)
    eventually(lambda: pool._idle == 1, what="the thread is idle")
    pool.submit(job)
    assert turns.acquire(timeout=TIMEOUT)
    assert threads[0] is threads[1]
    threads[0].join(TIMEOUT)
    assert pool.running == 0
    pool.submit(job)
    assert turns.acquire(timeout=TIMEOUT)


def test_a_job_that_fails_does_not_cost_a_thread(caplog: pytest.LogCaptureFixture) -> None:
    pool = Workers(1, 0, "test")
    done = threading.Event()
    pool.submit(fail)
    pool.submit(done.set)
    assert done.wait(TIMEOUT)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    caplog.clear()
