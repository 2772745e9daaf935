"""asyncio in a process of greenlets: always in a real thread, never beside the hub.

Law: *no asyncio loop runs in the hub's thread, and no blocking code beside a loop*. asyncio
keeps "the running loop" for each thread, so whatever shares the thread with a loop seems
to run inside it, and Django refuses it the ORM (``SynchronousOnlyOperation``). Coroutines
go to real threads; blocking code that a coroutine starts goes back to greenlets of the hub.
"""

from __future__ import annotations

import _queue
import asyncio
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

import gevent
import gevent.monkey
from gevent._hub_local import get_hub_if_exists
from gevent.hub import Hub, get_hub

from dualws.database import GRACE, release_connections
from dualws.executors import call_and_release
from dualws.loops import run_for_ever

P = ParamSpec("P")
T = TypeVar("T")

_start_thread = gevent.monkey.get_original("_thread", "start_new_thread")
get_thread_ident = gevent.monkey.get_original("_thread", "get_ident")
_allocate_lock = gevent.monkey.get_original("_thread", "allocate_lock")

#: Seconds after which a real thread without work ends.
_IDLE = 10.0


class _Worker:
    """A real thread that runs one job after the other, kept for the next executor."""

    lock = _allocate_lock()
    idle: list[_Worker] = []

    def __init__(self) -> None:
        #: A C queue, which gevent does not patch; None gives the thread back.
        self.jobs: _queue.SimpleQueue[Callable[[], object] | None] = _queue.SimpleQueue()
        _start_thread(self._run, ())

    @classmethod
    def take(cls) -> _Worker:
        """A worker that nobody else uses."""
        with cls.lock:
            if cls.idle:
                return cls.idle.pop()
        return cls()

    def _run(self) -> None:
        taken = True
        while True:
            try:
                job = self.jobs.get(timeout=_IDLE)
            except _queue.Empty:
                if taken:
                    continue
                with self.lock:
                    # Not in the list: somebody has just taken it.
                    if self in self.idle:
                        self.idle.remove(self)
                        break
                taken = True
                continue
            if job is None:
                with self.lock:
                    self.idle.append(self)
                taken = False
            else:
                taken = True
                job()
                del job
        # asyncio's selector made this thread a hub of its own.
        hub = get_hub_if_exists()
        if hub is not None:
            hub.destroy(destroy_loop=True)


# A child process has none of its parent's threads.
os.register_at_fork(after_in_child=_Worker.idle.clear)


class _CallbackFuture(Future[T]):
    """A future that two real threads share and that nobody waits for in a greenlet.

    Locks that gevent patched may lose a wake when two threads fight for them; this one
    has a native lock, held for microseconds.
    """

    def __init__(self) -> None:
        super().__init__()
        self._condition = threading.Condition(_allocate_lock())


def _outcome(
    future: Future[T], function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> Callable[[], object]:
    """Call *function*; the call that settles *future* with what came of it."""
    try:
        result = function(*args, **kwargs)
    except BaseException as error:
        return partial(future.set_exception, error)
    return partial(future.set_result, result)


def _settle(future: Future[T], function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> None:
    if future.set_running_or_notify_cancel():
        _outcome(future, function, *args, **kwargs)()


class RealThreadExecutor(ThreadPoolExecutor):
    """Runs what is submitted in one real thread, in order.

    Stands where asgiref makes a ``ThreadPoolExecutor(max_workers=1)`` for the loop of an
    ``async_to_sync``, which would run in a greenlet here. The thread returns to the common
    stock when the executor is dropped.
    """

    def __init__(self, max_workers: int | None = None) -> None:
        super().__init__(max_workers=1)
        self._worker: _Worker | None = None
        self._give_back: Callable[[], object] | None = None

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run *fn* in the thread; its result is in the future."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        if self._worker is None:
            worker = self._worker = _Worker.take()
            self._give_back = weakref.finalize(self, worker.jobs.put, None)
        # All that happens to the future happens in the thread of those that wait for it. The
        # watcher tells their hub, which may have nothing else to do, that something will.
        watcher = get_hub().loop.async_()
        settle: list[Callable[[], object]] = []

        def done() -> None:
            watcher.stop()
            watcher.close()
            gevent.spawn_raw(settle.pop())

        def job() -> None:
            settle.append(_outcome(future, fn, *args, **kwargs))
            watcher.send()

        watcher.start(done)
        self._worker.jobs.put(job)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Give the thread back once what was submitted is done; never waits for that."""
        self._worker = None
        if self._give_back is not None:
            self._give_back()


class HubExecutor(ThreadPoolExecutor):
    """Runs blocking code of coroutines in greenlets of a hub; to be used from real threads.

    :param hub: where the greenlets live
    :param serial: one call at a time, all in one greenlet: what asgiref calls thread-sensitive
    """

    def __init__(self, hub: Hub, *, serial: bool) -> None:
        super().__init__(max_workers=1)
        self._hub = hub
        self._serial = serial
        self._jobs: deque[Callable[[], object]] = deque()
        self._wake: gevent.event.Event | None = None

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run *fn* in a greenlet of the hub; its result is in the future."""
        future: Future[T] = _CallbackFuture()
        call = partial(fn, *args, **kwargs)
        if self._serial:
            start: Callable[..., object] = self._enqueue
            job = partial(_settle, future, call)
        else:
            start, job = gevent.spawn_raw, partial(_settle, future, call_and_release, call)
        self._hub.loop.run_callback_threadsafe(start, job)
        return future

    def _enqueue(self, job: Callable[[], object]) -> None:
        self._jobs.append(job)
        if self._wake is None:
            self._wake = gevent.event.Event()
            gevent.spawn_raw(self._run, self._wake)
        self._wake.set()

    def _run(self, wake: gevent.event.Event) -> None:
        # One greenlet for good: what it keeps, as its database connection, is kept with it
        # from call to call, and given back when no call follows.
        while True:
            wake.wait()
            wake.clear()
            while self._jobs:
                self._jobs.popleft()()
            if not wake.wait(GRACE):
                release_connections()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing: it serves every loop of the process."""


def submit_in_hub(hub: Hub, submit: Callable[..., Future[Any]]) -> Callable[..., Future[Any]]:
    """Make an executor's ``submit``, whose locks are the hub's, usable from real threads.

    :param hub: the executor's
    :param submit: its method, not bound
    """

    def submit_from_anywhere(executor: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if get_thread_ident() == hub.thread_ident:
            return submit(executor, *args, **kwargs)
        future: Future[Any] = _CallbackFuture()

        def forward() -> None:
            try:
                inner = submit(executor, *args, **kwargs)
            except BaseException as error:
                future.set_exception(error)
                return
            inner.add_done_callback(lambda done: _settle(future, done.result))

        hub.loop.run_callback_threadsafe(gevent.spawn_raw, forward)
        return future

    return submit_from_anywhere


class Loop(asyncio.SelectorEventLoop):
    """An asyncio loop whose default executor (``asyncio.to_thread``) is the hub's.

    :param executor: shared by all loops
    """

    def __init__(self, executor: HubExecutor) -> None:
        super().__init__()
        self.set_default_executor(executor)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Nothing: the executor outlives the loop."""


class LoopPolicy(asyncio.DefaultEventLoopPolicy):
    """Makes every loop of the process a :class:`Loop`."""

    def __init__(self, executor: HubExecutor) -> None:
        super().__init__()
        self._executor = executor

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """A loop for the thread that calls."""
        return Loop(self._executor)


def start_asyncio_thread() -> asyncio.AbstractEventLoop:
    """An asyncio loop that runs in a real thread until the process ends."""
    made: list[asyncio.AbstractEventLoop] = []
    ready = _allocate_lock()
    ready.acquire()

    def run() -> None:
        # Made here: its selector and its pipe belong to this thread.
        loop = asyncio.new_event_loop()
        made.append(loop)
        loop.call_soon(ready.release)
        run_for_ever(loop)

    _start_thread(run, ())
    ready.acquire()
    return made[0]
