"""Counters with a limit.

Law: *nothing is kept of whom nothing is counted*: an address that has left takes no memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager

from dualws.contract import Lock


class Counter:
    """How many there are of each name.

    :param limit: most of one name; 0 counts nothing
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        #: guards the counts; set once there are several threads
        self.lock: Lock | AbstractContextManager[object] = contextlib.nullcontext()
        self._counts: dict[str, int] = {}

    def enter(self, name: str) -> bool:
        """Count one more; False when there are as many as there may be."""
        if not self.limit:
            return True
        with self.lock:
            count = self._counts.get(name, 0)
            if count >= self.limit:
                return False
            self._counts[name] = count + 1
        return True

    def leave(self, name: str) -> None:
        """Undo :meth:`enter`."""
        if not self.limit:
            return
        with self.lock:
            count = self._counts.get(name, 0) - 1
            if count > 0:
                self._counts[name] = count
            else:
                self._counts.pop(name, None)


class Account:
    """Bytes that wait for slow peers in all websockets together.

    :param limit: in bytes
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.lock: Lock | AbstractContextManager[object] = contextlib.nullcontext()
        self.total = 0
        #: called when the total passes the limit, or may be back under it
        self.changed: Callable[[], object] = _nothing
        self._passed = False

    def add(self, size: int) -> None:
        """*size* bytes more wait; fewer when it is negative."""
        with self.lock:
            self.total += size
            told = self._passed or self.total > self.limit
            self._passed = self.total > self.limit // 2 and told
        if told:
            self.changed()


def _nothing() -> None:
    """Nobody wants to know."""
