"""What a coroutine waits for in ``receive()``.

Law: the coroutine goes on inside the very call that brings its message, when the loop itself
makes that call. A ``Future`` would have the loop call it a turn later, which takes as long as
parsing the message and more. Whoever brings the message notices nothing: what the coroutine
raises never comes out there. asyncio takes any object for a future that has
``_asyncio_future_blocking`` and the few methods below.
"""

from __future__ import annotations

import threading
from asyncio import AbstractEventLoop, CancelledError
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any, NoReturn

from dualws.loops import call_from_outside


class Arrival:
    """An awaitable that ends when :meth:`wake` is called; used again for the next wait, until
    one is cancelled.

    :param loop: the loop that it is awaited on, by one task at a time
    :param thread: identity of the thread that runs *loop*
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

    def __init__(self, loop: AbstractEventLoop, thread: int) -> None:
        self._loop = loop
        self._thread = thread
        self._asyncio_future_blocking = False
        self._callback: Callable[[Any], object] | None = None
        self._context: Context | None = None
        self._woken = False
        self._cancelled: tuple[Any, ...] | None = None

    def wake(self) -> None:
        """Let the coroutine go on; once for each wait, from any thread.

        Of other threads nothing is heard once the loop has ended.
        """
        if threading.get_ident() == self._thread:
            self._go_on()
        else:
            call_from_outside(self._loop, self._go_on)

    def _go_on(self) -> None:
        callback, self._callback = self._callback, None
        if callback is None:
            self._woken = True
            return
        context = self._context
        assert context is not None
        try:
            context.run(callback, self)
        except RuntimeError:
            # asyncio, or the context, refuses to enter: what runs now is another task, which
            # closes the websocket, or a callback that was given the task's own context.
            self._loop.call_soon(callback, self, context=context)
        except (SystemExit, KeyboardInterrupt) as error:
            # They end the loop, and leave nothing half done where the message came from.
            self._loop.call_soon(_raise, error)

    def __await__(self) -> Generator[Arrival, None, None]:
        if self._callback is not None or self._cancelled is not None:
            raise RuntimeError(
                "receive() is called before another task has gone on that waited in receive() on "
                "the same websocket: let one task receive, and hand the messages on"
            )
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


def _raise(error: BaseException) -> NoReturn:
    raise error
