"""A thread that waits for a message reads its socket itself.

Law: *one reader at a time*. A socket is read either by the loop or, while it is lent, by
the handler's thread inside :meth:`ReadingWaiter.wait`; who reads changes under the
transport's mutex only. Waking another thread costs more than all the rest of a short
message, so a thread whose messages keep coming is never woken by one: it sleeps in the
kernel until its own bytes arrive. Whoever is busy elsewhere is read for by the loop
(:class:`Lent` sees to that), so pings are answered and a peer that leaves is noticed.
"""

from __future__ import annotations

import _thread
import logging
import math
import os
import select
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from dualws.contract import Lock

if TYPE_CHECKING:
    from dualws_tornado.runtime import Runtime
    from dualws_tornado.transport import Transport

log = logging.getLogger("dualws.server")

#: Seconds between two looks for sockets that nobody reads.
_LOOK = 0.01
#: Milliseconds that poll() takes at most.
_LONGEST = 2**31 - 1
#: Looks that find nothing before no more are taken.
_QUIET_LOOKS = 100


class Bell:
    """Wakes one thread that polls; a descriptor.

    :raises OSError: the process has no descriptor left
    """

    __slots__ = ("_ring", "descriptor")

    def __init__(self) -> None:
        if hasattr(os, "eventfd"):
            self.descriptor = self._ring = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self.descriptor, self._ring = os.pipe()
            os.set_blocking(self.descriptor, False)
            os.set_blocking(self._ring, False)

    def ring(self) -> None:
        """Let the thread's poll return."""
        os.write(self._ring, b"\1\0\0\0\0\0\0\0")

    def silence(self) -> None:
        """Take the ring back."""
        os.read(self.descriptor, 64)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)
            if self._ring != self.descriptor:
                os.close(self._ring)


class _Bells(threading.local):
    """A bell for each thread, made when it first waits for a socket."""

    bell: Bell | None = None


_bells = _Bells()


class Lent:
    """The sockets that are lent to the threads of their handlers.

    :param runtime: the server's runtime
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.sockets: set[Transport] = set()
        #: whether looks are taken; whoever stops reading a lent socket sees to it
        self.looking = False
        self._quiet = 0
        self._mutex = runtime.lock()

    def look(self) -> None:
        """Take looks from now on: a thread is busy elsewhere. From any thread."""
        with self._mutex:
            if self.looking:
                return  # another one came first
            self.looking = True
        self._quiet = 0
        self._runtime.call_later(_LOOK, self._look)

    def _look(self) -> None:
        """Have the loop read for whom nobody has read since the last look; in the loop."""
        busy = False
        for transport in tuple(self.sockets):
            if transport.is_read:
                continue
            busy = True
            if transport.seen == transport.turn:
                transport.take_back()
            else:
                transport.seen = transport.turn
        self._quiet = 0 if busy else self._quiet + 1
        if self._quiet > _QUIET_LOOKS:
            # A thread that stops reading in this moment sees that no looks are taken, or is seen.
            self.looking = False
            if not all(transport.is_read for transport in tuple(self.sockets)):
                self.look()
            return
        self._runtime.call_later(_LOOK, self._look)


class ReadingWaiter:
    """Implements :class:`dualws.contract.Waiter` for code that waits for a socket's messages.

    :param transport: the socket's
    :param mutex: the transport's
    """

    __slots__ = (
        "_bell",
        "_gate",
        "_ident",
        "_mutex",
        "_parked",
        "_poll",
        "_reading",
        "_rung",
        "_transport",
        "_woken",
    )

    def __init__(self, transport: Transport, mutex: Lock) -> None:
        self._transport = transport
        self._mutex = mutex
        self._gate: _thread.LockType | None = None
        #: the thread sleeps at the gate
        self._parked = False
        #: the thread reads the socket
        self._reading = False
        #: woken, and the thread has not noticed yet
        self._woken = False
        #: its bell was rung
        self._rung = False
        self._ident = 0
        self._bell: Bell | None = None
        self._poll: Callable[[float | None], list[tuple[int, int]]] | None = None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for :meth:`wake`; False when *timeout* (seconds) passed first."""
        if _thread.get_ident() != self._ident:
            self._enter_thread()
        with self._mutex:
            if self._woken:
                self._woken = False
                return True
            reading = self._reading = self._transport.lent and (
                self._poll is not None or self._prepare()
            )
            if not reading:
                self._parked = True
        if reading:
            return self._read(timeout)
        return self._wait_at_gate(timeout)

    def wake(self) -> None:
        """Let the waiting code go on; from any thread."""
        if self._reading and _thread.get_ident() == self._ident:
            # What this thread has just read woke it.
            self._woken = True
            return
        with self._mutex:
            if self._parked:
                self._parked = False
                assert self._gate is not None
                self._gate.release()
                return
            self._woken = True
            if self._reading:
                self.ring()

    @property
    def parked(self) -> bool:
        """Whether the thread sleeps until it is woken; with the mutex held."""
        return self._parked

    @property
    def reading(self) -> bool:
        """Whether the thread reads the socket; with the mutex held."""
        return self._reading

    def ring(self) -> None:
        """Let the thread look up from its socket; with the mutex held."""
        if not self._rung:
            self._rung = True
            assert self._bell is not None
            self._bell.ring()

    def _enter_thread(self) -> None:
        """Prepare for the calling thread."""
        self._ident = _thread.get_ident()
        self._poll = None
        if self._gate is None:
            self._gate = _thread.allocate_lock()
            self._gate.acquire()

    def _prepare(self) -> bool:
        """Get ready to poll, which few of many silent sockets' threads ever do; False when the
        process has no descriptor left for it."""
        try:
            bell = _bells.bell
            if bell is None:
                bell = _bells.bell = Bell()
            descriptor = self._transport.descriptor
            poll = select.poll()
            poll.register(bell.descriptor, select.POLLIN)
            poll.register(descriptor, select.POLLIN)
        except (OSError, ValueError):
            return False  # or the socket is closed
        self._bell = bell
        self._poll = poll.poll
        return True

    def _wait_at_gate(self, timeout: float | None) -> bool:
        assert self._gate is not None
        if timeout is None:
            return self._gate.acquire()
        if self._gate.acquire(True, min(max(timeout, 0.0), threading.TIMEOUT_MAX)):
            return True
        with self._mutex:
            if self._parked:
                self._parked = False
                return False
        return self._gate.acquire()

    def _read(self, timeout: float | None) -> bool:
        """Read the socket until something wakes this thread, or it is to stop."""
        transport = self._transport
        assert self._poll is not None
        end = None if timeout is None else time.monotonic() + timeout
        milliseconds = None if end is None else _milliseconds_to(end)
        lost: OSError | None = None
        over = False
        while True:
            ready = self._poll(milliseconds)
            if self._woken or self._rung:
                break
            if not ready:
                assert end is not None
                milliseconds = _milliseconds_to(end)
                if milliseconds:
                    continue  # poll() waits no longer than some weeks
                break
            try:
                came = transport.take_in()
            except OSError as error:
                lost = error.with_traceback(None)  # that holds this frame, and this the error
                over = True
                break
            except Exception:
                log.exception("unexpected error in the owner of a connection, which is closed")
                transport.abort()
                came = True
            if self._woken:
                break
            if came is False or not transport.lent:
                # The loop reads the same end again, and says so; or it is paused, or closing.
                over = True
                break
            if end is not None:
                milliseconds = _milliseconds_to(end)
                if not milliseconds:
                    break
        with self._mutex:
            self._reading = False
            woken, self._woken = self._woken, False
            rung, self._rung = self._rung, False
            if rung:
                assert self._bell is not None
                self._bell.silence()
            at_gate = not woken and (over or rung)
            self._parked = at_gate
        if over or rung:
            transport.hand_back(lost)
        else:
            transport.turn += 1
            if not transport.lenders.looking:
                transport.lenders.look()
        if at_gate:
            return self._wait_at_gate(None if end is None else end - time.monotonic())
        return woken


def _milliseconds_to(end: float) -> int:
    """What poll() is to wait until the monotonic time *end*; 0 when that is over."""
    return math.ceil(max(0.0, min((end - time.monotonic()) * 1000, _LONGEST)))
