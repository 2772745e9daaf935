"""The thread that stands for a server's loop: it runs callbacks, in order, soon or later.

Law: one for the process, a daemon, started when it is first needed; whatever a callback raises
is logged and harms no other.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

_logger = logging.getLogger("dualws.server")


class Timer:
    """Implements :class:`dualws.contract.Timer`."""

    def __init__(self, callback: Callable[[], object]) -> None:
        self._callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """Drop the call if it has not begun."""
        self._callback = None

    def run(self) -> None:
        """Make the call, unless it was dropped."""
        callback, self._callback = self._callback, None
        if callback is None:
            return
        try:
            callback()
        except Exception:
            _logger.exception("unexpected error in a callback")


class Loop:
    """Runs callbacks in a thread of its own."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, Timer]] = []
        self._number = itertools.count()
        self._thread: threading.Thread | None = None

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Run *callback* after all that was to run soon before it; from any thread."""
        self.call_later(0.0, callback)

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Run *callback* after *delay* seconds; from any thread."""
        timer = Timer(callback)
        with self._changed:
            when = time.monotonic() + max(delay, 0.0)
            heapq.heappush(self._due, (when, next(self._number), timer))
            # A forked child, as of a parallel test run, has none of its parent's threads.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, name="dualws-test-loop", daemon=True
                )
                self._thread.start()
            self._changed.notify()
        return timer

    def _run(self) -> None:
        while True:
            self._next().run()

    def _next(self) -> Timer:
        with self._changed:
            while True:
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(wait)


#: The one of this process.
loop = Loop()
