"""How code waits and starts on Tornado: threads wait on native locks, callbacks run on the loop.

Law: everything here may be called from any thread once the loop runs; what must happen
in the loop's thread is sent there. Nothing raises because the loop has ended: late
callers are daemon threads that outlived the server.
"""

from __future__ import annotations

import _thread
import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from dualws import hot
from dualws.contract import Lock
from dualws.loops import call_from_outside
from dualws_tornado.reading import Lent
from dualws_tornado.workers import Workers

log = logging.getLogger("dualws.server")

#: There is no limit to what the core spawns; it sets limits itself.
_UNLIMITED = 1 << 30
_make_mutex: Callable[[], Lock] = hot.Mutex or _thread.allocate_lock


class Waiter:
    """Implements :class:`dualws.contract.Waiter` with a native lock.

    Handlers wait for messages with a :class:`~dualws_tornado.reading.ReadingWaiter`.
    """

    __slots__ = ("_acquire", "wake")

    def __init__(self) -> None:
        lock = _thread.allocate_lock()
        lock.acquire()
        self._acquire = lock.acquire
        #: lets the waiting code go on
        self.wake: Callable[[], None] = lock.release

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for ``wake``; False when *timeout* (seconds) passed first."""
        if timeout is None:
            return self._acquire()
        return self._acquire(True, min(max(timeout, 0.0), threading.TIMEOUT_MAX))


class Timer:
    """Implements :class:`dualws.contract.Timer`; made by :meth:`Runtime.call_later`."""

    __slots__ = ("_args", "_callback", "_handle", "_runtime")

    def __init__(
        self, runtime: Runtime, callback: Callable[..., object], args: tuple[object, ...]
    ) -> None:
        self._runtime = runtime
        self._callback: Callable[..., object] | None = callback
        self._args = args
        self._handle: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        """Drop the call if it has not begun."""
        if self._callback is not None:
            self._callback = None
            self._args = ()
            self._runtime.call_soon(self._drop)

    def _start(self, when: float) -> None:
        if self._callback is not None:
            self._handle = self._runtime.loop.call_at(when, self._run)

    def _drop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _run(self) -> None:
        callback, self._callback = self._callback, None
        self._handle = None
        if callback is not None:
            try:
                callback(*self._args)
            except Exception:
                log.exception("unexpected error in a timer")


class Runtime:
    """Implements :class:`dualws.contract.Runtime` on an asyncio loop."""

    def __init__(self, threads: int) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ident = 0
        #: sockets whose handlers' threads read them
        self.lent = Lent(self)
        self._tasks: set[asyncio.Task[object]] = set()
        self._spawned = Workers(_UNLIMITED, 0, "dualws-spawned")
        # Not the threads of HTTP: neither may hold the other up.
        self._pool = Workers(threads, 0, "dualws-pool")

    # -- for the server ------------------------------------------------------------

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop.

        :raises RuntimeError: the server does not run yet
        """
        if self._loop is None:
            raise RuntimeError("the server does not run yet: its runtime starts with Server.run()")
        return self._loop

    def begin(self) -> None:
        """Take the running loop; in its thread."""
        self._loop = asyncio.get_running_loop()
        self._ident = threading.get_ident()

    def call_soon(self, function: Callable[[], object]) -> None:
        """Run *function* in the loop's thread, never before this returns.

        Not at all when the loop has ended.
        """
        loop = self.loop
        if threading.get_ident() == self._ident:
            loop.call_soon(function)
        else:
            call_from_outside(loop, function)

    # -- the contract --------------------------------------------------------------

    def lock(self) -> Lock:
        """A new native mutex."""
        return _make_mutex()

    def waiter(self) -> Waiter:
        """A new waiter."""
        return Waiter()

    def spawn(self, function: Callable[..., object], *args: object) -> None:
        """Run blocking code in a daemon thread, in a ``contextvars`` context of its own."""
        self._spawned.submit(lambda: contextvars.Context().run(function, *args))

    def submit(self, function: Callable[..., object], *args: object) -> None:
        """Run short code that may block in a thread of the pool, in a context of its own."""
        self._pool.submit(lambda: contextvars.Context().run(function, *args))

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> Timer:
        """Call *callback* in the loop's thread after *delay* seconds."""
        timer = Timer(self, callback, args)
        when = self.loop.time() + delay
        if threading.get_ident() == self._ident:
            timer._start(when)
        else:
            self.call_soon(lambda: timer._start(when))
        return timer

    def run_coroutine(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Run a coroutine on the loop, in the caller's context; what it raises is logged."""
        self.call_soon(lambda: self._run_coroutine(coroutine))

    def start_thread(self, function: Callable[..., object], *args: object) -> None:
        """Run *function* in a daemon thread of its own, which no limit counts."""
        threading.Thread(target=function, args=args, name="dualws-beside", daemon=True).start()

    def _run_coroutine(self, coroutine: Coroutine[Any, Any, object]) -> None:
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._coroutine_done)

    def _coroutine_done(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("unexpected error in a coroutine", exc_info=error)
