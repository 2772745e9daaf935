"""What a coroutine waits for in ``receive()``.

Law: the coroutine goes on inside the very call that brings its message. A ``Future`` would have
the loop call it a turn later, which takes as long as parsing the message and more. asyncio takes
any object for a future that has ``_asyncio_future_blocking`` and the few methods below.
"""

from __future__ import annotations

import threading
from asyncio import AbstractEventLoop, CancelledError, current_task
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any


class Arrival:
    """An awaitable that ends when :meth:`wake` is called; used again for the next wait.

    :param loop: the running loop, in whose thread it is made and awaited, by one task at a time
    """

    __slots__ = (
        "_asyncio_future_blocking",
        "_callback",
        "_cancelled",
        "_context",
        "_loop",
        "_thread",
        "_woken",
    )

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._thread = threading.get_ident()
        self._asyncio_future_blocking = False
        self._callback: Callable[[Any], object] | None = None
        self._context: Context | None = None
        self._woken = False
        self._cancelled: tuple[Any, ...] | None = None

    def wake(self) -> None:
        """Let the coroutine go on; once for each wait, from any thread."""
        if threading.get_ident() == self._thread:
            self._go_on()
        else:
            self._loop.call_soon_threadsafe(self._go_on)

    def _go_on(self) -> None:
        callback, self._callback = self._callback, None
        if callback is None:
            self._woken = True
        elif current_task(self._loop) is None:
            assert self._context is not None
            self._context.run(callback, self)
        else:  # another task closes the websocket: two tasks cannot run inside each other
            self._loop.call_soon(callback, self, context=self._context)

    def __await__(self) -> Generator[Arrival, None, None]:
        if not self._woken:
            self._asyncio_future_blocking = True
            yield self
        self._woken = False

    # -- what asyncio's tasks ask a future for ---------------------------------------

    def get_loop(self) -> AbstractEventLoop:
        """The loop that it belongs to."""
        return self._loop

    def add_done_callback(
        self, callback: Callable[[Any], object], *, context: Context | None = None
    ) -> None:
        """Call *callback* with this when the wait is over."""
        self._context = context
        self._callback = callback

    def cancel(self, msg: Any = None) -> bool:
        """End the wait with ``CancelledError``."""
        callback, self._callback = self._callback, None
        if callback is None:
            return False
        self._cancelled = () if msg is None else (msg,)
        self._loop.call_soon(callback, self, context=self._context)
        return True

    def result(self) -> None:
        """Nothing.

        :raises CancelledError: the wait was cancelled
        """
        if self._cancelled is not None:
            raise CancelledError(*self._cancelled)
