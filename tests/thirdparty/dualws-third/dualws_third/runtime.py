"""How code waits and starts: plain threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from dualws.contract import Lock


class ThirdWaiter:
    def __init__(self) -> None:
        self._semaphore = threading.Semaphore(0)

    def wait(self, timeout: float | None = None) -> bool:
        return self._semaphore.acquire(timeout=timeout)

    def wake(self) -> None:
        self._semaphore.release()


class ThirdRuntime:
    def lock(self) -> Lock:
        return threading.Lock()

    def waiter(self) -> ThirdWaiter:
        return ThirdWaiter()

    def spawn(self, function: Callable[..., object], *args: object) -> None:
        threading.Thread(target=function, args=args, daemon=True).start()

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: object
    ) -> threading.Timer:
        timer = threading.Timer(delay, callback, args)
        timer.daemon = True
        timer.start()
        return timer

    def run_coroutine(self, coroutine: Coroutine[Any, Any, object]) -> None:
        self.spawn(asyncio.run, coroutine)
