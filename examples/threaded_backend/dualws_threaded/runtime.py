"""How code waits and starts: threads, and the loop for what must not block."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

from dualws.executors import ReleasingThreads
from dualws.loops import run_for_ever
from dualws_threaded.loop import Loop

log = logging.getLogger("dualws.server")


class Waiter:
    """Implements :class:`dualws.contract.Waiter`: a lock that the waiting thread holds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for :meth:`wake`; False when *timeout* (seconds) passed first."""
        limit = -1 if timeout is None else min(max(timeout, 0.0), threading.TIMEOUT_MAX)
        return self._lock.acquire(timeout=limit)

    def wake(self) -> None:
        """Let the waiting thread go on."""
        self._lock.release()


class Timer:
    """Implements :class:`dualws.contract.Timer`."""

    def __init__(self, callback: Callable[[], object]) -> None:
        self._callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """Drop the call; the loop forgets the timer when its time has come."""
        self._callback = None

    def fire(self) -> None:
        """Call it."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class Runtime:
    """Implements :class:`dualws.contract.Runtime`."""

    def __init__(self) -> None:
        self.loop = Loop()
        self._asyncio: asyncio.AbstractEventLoop | None = None
        self._asyncio_lock = threading.Lock()

    def lock(self) -> threading.Lock:
        """A new native mutex."""
        return threading.Lock()

    def waiter(self) -> Waiter:
        """A new waiter."""
        return Waiter()

    def spawn(self, function: Callable[..., object], *args: object) -> None:
        """Run blocking code in a daemon thread."""
        threading.Thread(target=function, args=args, daemon=True).start()

    def submit(self, function: Callable[..., object], *args: object) -> None:
        """The same here: nothing is shared, so short code waits for nobody."""
        self.spawn(function, *args)

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> Timer:
        """Call *callback* in the loop's thread after *delay* seconds."""
        timer = Timer(lambda: callback(*args))
        when = time.monotonic() + delay
        self.loop.call_soon(lambda: self.loop.call_at(when, timer.fire))
        return timer

    def start_thread(self, function: Callable[..., object], *args: object) -> None:
        """Run *function* in a daemon thread beside the loop."""
        self.spawn(function, *args)

    def run_coroutine(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Run a coroutine on an asyncio loop in a thread that all of them share."""
        with self._asyncio_lock:
            if self._asyncio is None:
                self._asyncio = asyncio.new_event_loop()
                # Its own threads would be waited for at the end of the process.
                self._asyncio.set_default_executor(ReleasingThreads(self.spawn))
                self.spawn(run_for_ever, self._asyncio)
        asyncio.run_coroutine_threadsafe(_logged(coroutine), self._asyncio)


async def _logged(coroutine: Coroutine[Any, Any, object]) -> None:
    try:
        await coroutine
    except Exception:
        log.exception("unexpected error in a coroutine")
