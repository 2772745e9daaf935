"""The part of the contract that tells how code waits and starts in a concurrency model.

Law: what is here may be called from any thread, unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Protocol


class Lock(Protocol):
    """A native mutex (never a greenlet one): held for microseconds, never while waiting."""

    def __enter__(self) -> bool: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...


class Waiter(Protocol):
    """Lets one thread or greenlet wait until another wakes it.

    May be used again after :meth:`wait` returned True; the core makes sure that each
    :meth:`wake` meets exactly one :meth:`wait` that returns True.
    """

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for :meth:`wake`; False when *timeout* (seconds) passed first."""

    def wake(self) -> None:
        """Let the waiting code go on: from any thread, before or during the wait.

        Called from the loop's own thread it may run the woken code before it returns.
        """


class Timer(Protocol):
    """A call that is to happen later."""

    def cancel(self) -> None:
        """Drop the call if it has not begun."""


class Runtime(Protocol):
    """How code waits and starts in this concurrency model."""

    def lock(self) -> Lock:
        """A new native mutex."""

    def waiter(self) -> Waiter:
        """A new waiter."""

    def spawn(self, function: Callable[..., object], *args: object) -> None:
        """Run blocking code in a greenlet or daemon thread of its own."""

    def submit(self, function: Callable[..., object], *args: object) -> None:
        """Run short code that may block, soon: in a greenlet, or a thread of the shared pool."""

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> Timer:
        """Call *callback* in the loop's thread after *delay* seconds; it must not block."""

    def run_coroutine(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Run a coroutine to its end on an asyncio loop, in the background."""

    def start_thread(self, function: Callable[..., object], *args: object) -> None:
        """Run *function* in a daemon thread of the operating system, beside the loop.

        A backend that leaves ``threading`` as it is may be without this method.
        """
