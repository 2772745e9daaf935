"""Threads that wait for messages are woken in turn, not all at once.

Law: *a thread that parks wakes the next one itself*. When every message wakes its thread at
once, as many threads as there are messages fight for the interpreter's lock, and fighting
costs more than a short handler's work. So while short turns follow each other quickly only
few threads run at a time; whoever waits for its turn is admitted by the thread that ends
its own.

A turn is no right to block others. Below :data:`_PLENTY` turns a second (handlers compute for
long), or while the processor has time to spare (they wait for a database), the number that
may run doubles at every look until nobody is held back; and a turn that lasts longer than two
looks no longer counts. A look is taken each :data:`_LOOK` seconds while threads run side by
side, never when all is quiet.
"""

from __future__ import annotations

import _thread
import threading
import time
from collections import deque
from collections.abc import Callable

#: Seconds between two looks.
_LOOK = 0.005
#: Turns a second, and share of a core in use, from which on turns wait for the interpreter.
_PLENTY = 6000
_BUSY = 0.75
#: Most turns at a time that a limit is worth having for.
_MOST = 1024


class Turns:
    """Says which of the waiting threads run.

    :param look_later: called from any thread to have :meth:`look` called, in any one thread,
        after so many seconds
    """

    def __init__(self, look_later: Callable[[float, Callable[[], None]], object]) -> None:
        self._look_later = look_later
        self._mutex = _thread.allocate_lock()
        #: identity of a thread that has a turn -> the look before which it began
        self._running: dict[int, int] = {}
        self._queue: deque[TurnWaiter] = deque()
        self._allowed = _MOST
        self._ended = 0
        self._looks = 0
        self._looking = False
        self._looked_at = 0.0
        self._used = 0.0

    @property
    def allowed(self) -> int:
        """How many may run at a time."""
        return self._allowed

    def leave(self) -> None:
        """The calling thread will wait for nothing more: its turn is over, if it has one."""
        with self._mutex:
            following = self._end_turn(_thread.get_ident())
        if following is not None:
            following.gate.release()

    # -- for the waiters, with the mutex held or taken -----------------------------------

    def park(self, waiter: TurnWaiter) -> bool:
        """*waiter*'s thread is about to wait; False when it was woken before."""
        ident = _thread.get_ident()
        with self._mutex:
            if waiter.woken:
                waiter.woken = False
                return False
            waiter.ident = ident
            waiter.parked = True
            following = self._end_turn(ident)
        if following is not None:
            following.gate.release()
        return True

    def wake(self, waiter: TurnWaiter) -> None:
        """*waiter*'s thread may go on, when it is its turn."""
        with self._mutex:
            if not waiter.parked:
                waiter.woken = True
                return
            waiter.parked = False
            running = self._running
            look = bool(running) and not self._looking
            if look:
                self._begin_looking()
            admitted = len(running) < self._allowed
            if admitted:
                running[waiter.ident] = self._looks
            else:
                self._queue.append(waiter)
        if admitted:
            waiter.gate.release()
        if look:
            self._look_later(_LOOK, self.look)

    def give_up(self, waiter: TurnWaiter) -> bool:
        """*waiter*'s time is over; False when it has been woken, and its gate is opened."""
        with self._mutex:
            if waiter.parked:
                waiter.parked = False
                return True
            if waiter in self._queue:
                # Its thread runs already.
                self._queue.remove(waiter)
                waiter.gate.release()
            return False

    def _end_turn(self, ident: int) -> TurnWaiter | None:
        """End the thread's turn; whose gate must be opened instead."""
        if self._running.pop(ident, None) is None:
            return None
        self._ended += 1
        return self._admit_next()

    def _admit_next(self) -> TurnWaiter | None:
        if not self._queue or len(self._running) >= self._allowed:
            return None
        following = self._queue.popleft()
        self._running[following.ident] = self._looks
        return following

    # -- the looks ------------------------------------------------------------------------

    def _begin_looking(self) -> None:
        self._looking = True
        self._looked_at = time.monotonic()
        self._used = time.process_time()
        self._ended = 0

    def look(self) -> None:
        """Judge how fast turns follow each other, and admit more threads or fewer."""
        admitted = []
        with self._mutex:
            now, used = time.monotonic(), time.process_time()
            passed = now - self._looked_at
            running = self._running
            if self._ended >= passed * _PLENTY and used - self._used >= passed * _BUSY:
                self._allowed = max(1, min(self._allowed, len(running)) // 2)
            else:
                self._allowed = min(2 * self._allowed, _MOST)
            self._ended = 0
            self._looked_at, self._used = now, used
            self._looks += 1
            for ident, began in tuple(running.items()):
                if self._looks - began > 2:
                    del running[ident]
            while (waiter := self._admit_next()) is not None:
                admitted.append(waiter)
            self._looking = bool(running)
            again = self._looking
        for waiter in admitted:
            waiter.gate.release()
        if again:
            self._look_later(_LOOK, self.look)


class TurnWaiter:
    """Implements :class:`dualws.contract.Waiter`: woken code goes on when it is its turn.

    :param turns: says when
    """

    __slots__ = ("_turns", "gate", "ident", "parked", "woken")

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        #: held; released to let the parked thread go
        self.gate = _thread.allocate_lock()
        self.gate.acquire()
        #: identity of the thread that waits, or waited last
        self.ident = 0
        self.parked = False
        #: woken before it was parked
        self.woken = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for :meth:`wake`; False when *timeout* (seconds) passed first."""
        if not self._turns.park(self):
            return True
        if timeout is None:
            return self.gate.acquire()
        if self.gate.acquire(True, min(max(timeout, 0.0), threading.TIMEOUT_MAX)):
            return True
        if self._turns.give_up(self):
            return False
        return self.gate.acquire()

    def wake(self) -> None:
        """Let the waiting code go on when it is its turn; from any thread."""
        self._turns.wake(self)
