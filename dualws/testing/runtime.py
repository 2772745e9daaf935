"""How the handler of one websocket under test waits and starts: in threads of this process.

Law: one thread runs the whole life of a websocket, from the request to the handler's last event,
with the database connections that the test lends it. Every step of it is seen by the test,
which may so wait until there is nothing more to be done.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Any

from dualws.testing.loop import Timer, loop

_logger = logging.getLogger("dualws.handler")


class WatchedLock:
    """A mutex; what it guarded may have changed whenever it is released.

    :param changed: is notified then
    """

    def __init__(self, changed: threading.Condition) -> None:
        self._lock = threading.Lock()
        self._changed = changed

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        self._lock.release()
        with self._changed:
            self._changed.notify_all()


class Waiter:
    """Implements :class:`dualws.contract.Waiter`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for :meth:`wake`; False when *timeout* (seconds) passed first."""
        return self._lock.acquire(timeout=-1 if timeout is None else max(timeout, 0.0))

    def wake(self) -> None:
        """Let the waiting code go on."""
        self._lock.release()


class Runtime:
    """Implements :class:`dualws.contract.Runtime` for one websocket.

    :param changed: notified when there may be something new to see
    :param borrow: what every thread enters before it runs code of the project
    :param on_end: called in the websocket's thread as its last act
    """

    def __init__(
        self,
        changed: threading.Condition,
        borrow: Callable[[], AbstractContextManager[object]],
        on_end: Callable[[], object],
    ) -> None:
        #: notified when there may be something new to see
        self.changed = changed
        self._borrow = borrow
        self._on_end = on_end
        #: whether the websocket's thread has done all that it will do
        self.ended = False
        self._jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._main_running = False
        #: jobs that have not come to their end
        self.busy = 0
        #: the thread of the websocket
        self.thread = threading.Thread(target=self._work, name="dualws-test-handler", daemon=True)

    # -- for the test ----------------------------------------------------------------

    def start(self, main: Callable[[], object]) -> None:
        """Begin with *main*: the request, and a handler that runs after it."""
        self._main_running = True
        self._count(+1)
        self._jobs.put(partial(self._main, main))
        self.thread.start()

    def finish(self) -> None:
        """Nothing more will be started: the thread ends after what has been."""
        self._jobs.put(None)

    def _main(self, main: Callable[[], object]) -> None:
        try:
            main()
        finally:
            self._main_running = False

    def _work(self) -> None:
        try:
            with self._borrow():
                while (job := self._jobs.get()) is not None:
                    self._run(job)
        finally:
            self._on_end()
            with self.changed:
                self.ended = True
                self.changed.notify_all()

    def _run(self, job: Callable[[], object]) -> None:
        try:
            job()
        except Exception:
            _logger.exception("unexpected error in a websocket under test")
        finally:
            self._count(-1)

    def _count(self, by: int) -> None:
        with self.changed:
            self.busy += by
            self.changed.notify_all()

    # -- the contract ------------------------------------------------------------------

    def lock(self) -> WatchedLock:
        """A new mutex."""
        return WatchedLock(self.changed)

    def waiter(self) -> Waiter:
        """A new waiter."""
        return Waiter()

    def spawn(self, function: Callable[..., object], *args: object) -> None:
        """Run blocking code in a daemon thread of its own."""
        self._count(+1)

        def run() -> None:
            with self._borrow():
                self._run(partial(function, *args))

        threading.Thread(target=run, name="dualws-test-spawned", daemon=True).start()

    def submit(self, function: Callable[..., object], *args: object) -> None:
        """Run short code in the websocket's thread, or beside it while a handler loops there."""
        if self._main_running:
            self.spawn(function, *args)
        else:
            self._count(+1)
            self._jobs.put(partial(function, *args))

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> Timer:
        """Call *callback* in the loop's thread after *delay* seconds."""
        return loop.call_later(delay, partial(callback, *args))

    def start_thread(self, function: Callable[..., object], *args: object) -> None:
        """Run *function* in a daemon thread that no test waits for."""
        threading.Thread(target=function, args=args, name="dualws-test-beside", daemon=True).start()

    def run_coroutine(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Run a coroutine on a loop of its own, beneath the websocket's thread."""
        from asgiref.sync import async_to_sync

        async def run() -> None:
            await coroutine

        self._count(+1)
        self._jobs.put(async_to_sync(run))
