"""Where the blocking code of coroutines runs: ``sync_to_async``, the async ORM, ``to_thread``.

Law: as everywhere, what waits holds no database connection. The calls of one asynchronous
handler run in order and never two at a time, in the same shared threads or greenlets as
event handlers; between them it keeps its thread and its connections for a moment only
(:mod:`dualws.database`). A thread that runs anybody's calls keeps no connection after one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

from dualws.contract import Runtime, Waiter
from dualws.database import (
    GRACE,
    linger_no_more,
    may_linger,
    open_connections,
    release_connections,
)

if TYPE_CHECKING:
    from asgiref.sync import ThreadSensitiveContext

P = ParamSpec("P")
T = TypeVar("T")


class HandlerExecutor(Executor):
    """Runs the blocking calls of one handler, one after the other.

    :param runtime: the server's
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._lock = runtime.lock()
        self._jobs: deque[Callable[[], object]] = deque()
        self._running = False
        #: wakes the thread that has nothing to do, and has not gone yet
        self._waiter: Waiter | None = None

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run *fn* when it is its turn; its result is in the future."""
        future: Future[T] = Future()
        # The loop may be in another real thread than what runs the call, where a lock that a
        # backend made cooperative is of no use; this one is held for microseconds.
        future._condition = threading.Condition(cast(threading.Lock, self._runtime.lock()))
        with self._lock:
            self._jobs.append(partial(_settle, future, partial(fn, *args, **kwargs)))
            start, self._running = not self._running, True
            waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.wake()
        elif start:
            self._runtime.submit(self._run)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing: its threads are everybody's."""

    def _run(self) -> None:
        while True:
            while self._jobs:
                self._jobs.popleft()()
            if self._wait_for_more():
                continue
            release_connections()
            with self._lock:
                if not self._jobs:
                    self._running = False
                    return

    def _wait_for_more(self) -> bool:
        """Keep the connections for a moment, if there are any; whether there is a job."""
        held = open_connections()
        if not held or not may_linger(self, held):
            return False
        try:
            with self._lock:
                if self._jobs:
                    return True
                waiter = self._waiter = self._runtime.waiter()
            if waiter.wait(GRACE):
                return True
            with self._lock:
                if self._waiter is not None:
                    self._waiter = None
                    return False
            # Woken in the moment in which it gave up.
            return waiter.wait()
        finally:
            linger_no_more(self)


class ReleasingThreads(ThreadPoolExecutor):
    """A loop's default executor, whose threads keep no database connection between two calls.

    asyncio takes a ThreadPoolExecutor only; but one's own threads would be waited for at the end
    of the process, however long a call of a handler's takes.

    :param start: runs a job in a daemon thread, soon
    """

    def __init__(self, start: Callable[[Callable[[], object]], object]) -> None:
        super().__init__(max_workers=1)
        self._start_job = start

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run *fn* in a thread; its result is in the future."""
        future: Future[T] = Future()
        call = partial(call_and_release, partial(fn, *args, **kwargs))
        self._start_job(partial(_settle, future, call))
        return future


def call_and_release(function: Callable[[], T]) -> T:
    """Call *function*, then give this thread's or greenlet's database connections back."""
    try:
        return function()
    finally:
        release_connections()


def use_for_sync_to_async(executor: Executor) -> None:
    """Make *executor* run what the running task, and tasks that it starts, give to
    ``sync_to_async``."""
    from asgiref.sync import SyncToAsync, ThreadSensitiveContext

    # Lives as long as a task's context refers to it: a task that outlives its handler must
    # not be given a thread of its own.
    context: ThreadSensitiveContext = ThreadSensitiveContext()
    SyncToAsync.thread_sensitive_context.set(context)
    SyncToAsync.context_to_thread_executor[context] = executor


def _settle(future: Future[T], call: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
