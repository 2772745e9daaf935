"""Waiting in a greenlet: a switch to the loop's, and one back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any


class Switcher:
    """Base of the gevent backend's waiter.

    :param ident: identity of the hub's thread
    :param hub: the greenlet of the loop
    :param getcurrent: gives the running greenlet
    """

    __slots__ = ("_gate", "_getcurrent", "_greenlet", "_hub", "_ident", "_woken")

    if TYPE_CHECKING:  # what the class that is made of this one has

        def _get_ident(self) -> int: ...
        def _wait_otherwise(self, timeout: float | None) -> bool: ...
        def _wake_from_elsewhere(self) -> None: ...

    def __init__(self, ident: int, hub: Any, getcurrent: Callable[[], Any]) -> None:
        self._ident = ident
        self._hub = hub
        self._getcurrent = getcurrent
        self._woken = False
        #: the one that waits
        self._greenlet: Any = None
        #: what code in another thread waits for
        self._gate: Any = None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for :meth:`wake`; False when *timeout* (seconds) passed first."""
        if timeout is not None or self._get_ident() != self._ident:
            return self._wait_otherwise(timeout)
        current = self._getcurrent()
        # Set before _woken is read, as wake() does it the other way round: one of the two
        # sees the other.
        self._greenlet = current
        try:
            while not self._woken:
                self._hub.switch()
                # A note left for an earlier wait may come late. Again first this, then the
                # look: another thread may wake in between.
                self._greenlet = current
            self._woken = False
            return True
        finally:
            self._greenlet = None

    def wake(self) -> None:
        """Let the waiting code go on: from any thread, before or during the wait."""
        self._woken = True
        if self._gate is not None:
            self._wake_from_elsewhere()
        elif self._greenlet is not None:
            if self._getcurrent() is self._hub:
                self._deliver()
            else:
                self._wake_from_elsewhere()

    def _deliver(self) -> None:
        waiting, self._greenlet = self._greenlet, None
        if waiting is not None:
            waiting.switch()
