"""How code waits and starts on gevent: greenlets of one hub, and one asyncio thread beside it.

Law: *a switch is the whole cost of a wake*. The hub's callback that got a message runs the
waiting greenlet at once, without a queue, an event or a timer between them; every other
caller leaves a note for the hub.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, cast

import gevent
import gevent.monkey
from gevent.hub import GreenletExit, Hub, get_hub
from greenlet import getcurrent

from dualws import hot
from dualws.contract import Lock
from dualws_gevent.coroutines import start_asyncio_thread

_logger = logging.getLogger("dualws.server")

_allocate_lock = gevent.monkey.get_original("_thread", "allocate_lock")
_make_mutex = hot.Mutex or _allocate_lock
start_real_thread = gevent.monkey.get_original("_thread", "start_new_thread")
#: Seconds; any time that is not 0 makes the loop go around.
_MOMENT = 1e-9
#: Identity of the real thread, not of the greenlet.
native_ident = cast("Callable[[], int]", gevent.monkey.get_original("_thread", "get_ident"))


class Waiter(hot.Switcher):
    """Implements :class:`dualws.contract.Waiter`: for greenlets, and for other real threads.

    Code in another thread has no hub that would wait for long, and waits for a native lock.

    :param ident: identity of the hub's real thread
    :param hub: the hub
    """

    __slots__ = ()
    _get_ident = staticmethod(native_ident)

    def __init__(self, ident: int, hub: Hub) -> None:
        super().__init__(ident, hub, getcurrent)

    def _wait_otherwise(self, timeout: float | None) -> bool:
        if native_ident() != self._ident:
            return self._wait_in_thread(timeout)
        assert timeout is not None
        current = getcurrent()
        timer = self._hub.loop.timer(max(timeout, 0.0))
        expired: list[bool] = []
        # As in wait().
        self._greenlet = current
        try:
            if not self._woken:
                timer.start(self._expire, expired)
                while True:
                    self._hub.switch()
                    self._greenlet = current
                    if self._woken or expired:
                        break
            woken, self._woken = self._woken, False
            return woken
        finally:
            self._greenlet = None
            timer.stop()
            timer.close()

    def _wait_in_thread(self, timeout: float | None) -> bool:
        gate = _allocate_lock()
        gate.acquire()
        self._gate = gate
        if not self._woken:
            gate.acquire(True, -1 if timeout is None else timeout)
        self._gate = None
        woken, self._woken = self._woken, False
        return woken

    def _wake_from_elsewhere(self) -> None:
        if self._gate is not None:
            self._gate.release()
        elif native_ident() == self._ident:
            self._hub.loop.run_callback(self._deliver)
        else:
            self._hub.loop.run_callback_threadsafe(self._deliver)

    def _expire(self, expired: list[bool]) -> None:
        expired.append(True)
        self._deliver()


class Timer:
    """Implements :class:`dualws.contract.Timer`."""

    __slots__ = ("_callback", "_runtime", "_watcher")

    def __init__(self, runtime: Runtime, callback: Callable[[], object]) -> None:
        self._runtime = runtime
        self._callback: Callable[[], object] | None = callback
        self._watcher: Any = None

    def start(self, delay: float) -> None:
        """Begin to count; in the hub's thread."""
        if self._callback is not None:
            self._watcher = self._runtime.loop.timer(max(delay, 0.0))
            self._watcher.start(self._fire)

    def cancel(self) -> None:
        """Drop the call if it has not begun; from any thread."""
        self._callback = None
        if self._watcher is not None:
            self._runtime.call_soon(self._stop)

    def _stop(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.stop()
            watcher.close()

    def _fire(self) -> None:
        callback, self._callback = self._callback, None
        self._stop()
        if callback is not None:
            try:
                callback()
            except Exception:
                _logger.exception("A timer's callback failed")


class Runtime:
    """Implements :class:`dualws.contract.Runtime` on the hub of the thread that makes it."""

    def __init__(self) -> None:
        self.hub = get_hub()
        self.loop = self.hub.loop
        self._ident = native_ident()
        self._asyncio: asyncio.AbstractEventLoop | None = None
        self._asyncio_lock = self.lock()
        #: which greenlet gave way, and when the loop had gone around then
        self._gave_way = 0, 0.0

    def lock(self) -> Lock:
        """A new native mutex."""
        return cast(Lock, _make_mutex())

    def waiter(self) -> Waiter:
        """A new waiter."""
        return Waiter(self._ident, self.hub)

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Run *function* in the hub, soon and never before this returns; from any thread."""
        if native_ident() == self._ident:
            self.loop.run_callback(function, *args)
        else:
            self.loop.run_callback_threadsafe(function, *args)

    def give_way(self) -> None:
        """Let the loop look around if it has not since this greenlet called this the last time."""
        running = getcurrent()
        if native_ident() != self._ident or running is self.hub:
            return  # a thread of its own, or who serves everybody
        if self._gave_way == (id(running), self.loop.now()):
            # A sleep of 0 would come back before the loop looks at the sockets.
            gevent.sleep(_MOMENT)
        self._gave_way = id(running), self.loop.now()

    def spawn(self, function: Callable[..., object], *args: object) -> None:
        """Run *function* in a greenlet of its own; what it raises is logged."""
        if native_ident() == self._ident:
            gevent.spawn_raw(run_logged, function, *args)
        else:
            self.call_soon(gevent.spawn_raw, run_logged, function, *args)

    submit = spawn

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> Timer:
        """Call *callback* in the hub after *delay* seconds; it must not block."""
        timer = Timer(self, (lambda: callback(*args)) if args else callback)
        if native_ident() == self._ident:
            timer.start(delay)
        else:
            self.call_soon(timer.start, delay)
        return timer

    def run_coroutine(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Run *coroutine* to its end on an asyncio loop in a real thread.

        In a thread of its own, because asyncio's mark of the running loop belongs to a
        thread: here, every greenlet would seem to run inside it.
        """
        asyncio.run_coroutine_threadsafe(_logged(coroutine), self._loop())

    def start_thread(self, function: Callable[..., object], *args: object) -> None:
        """Run *function* in a real daemon thread beside the hub."""
        start_real_thread(function, args)

    def _loop(self) -> asyncio.AbstractEventLoop:
        with self._asyncio_lock:
            if self._asyncio is None:
                self._asyncio = start_asyncio_thread()
            return self._asyncio


def run_logged(function: Callable[..., object], *args: object) -> None:
    """Call *function* at the bottom of a greenlet; log what it raises."""
    try:
        function(*args)
    except GreenletExit:
        pass
    except Exception:
        _logger.exception("A greenlet ended with an exception")


async def _logged(coroutine: Coroutine[Any, Any, object]) -> None:
    try:
        await coroutine
    except Exception:
        _logger.exception("A coroutine ended with an exception")
