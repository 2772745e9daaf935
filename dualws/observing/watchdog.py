"""Watches over the loop: how late it is, whether it stands still, and what holds it up.

Law: *the loop beats, a real thread listens*. A timer of the loop notes the time; a thread that
no loop or hub schedules sees when the next beat is overdue, and takes the stack of whatever
runs in the loop's thread at that moment. Each culprit is logged once in :data:`AGAIN` seconds.
"""

from __future__ import annotations

import logging
import os
import selectors
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Callable
from types import CodeType, FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dualws.contract import Server, Timer

_logger = logging.getLogger("dualws.blocked")

#: Seconds in which the same culprit is logged once.
AGAIN = 60.0
#: Seconds between two beats at most: the loop's lag is known that well.
_BEAT = 0.25
#: Innermost calls of a stack that are shown, and as many as lead from the project's to there, at
#: most. What is further out, a server's and Django's middleware, is the same for all.
_SHOWN = 12
_SHOWN_AT_MOST = 30
#: Culprits that are remembered.
_KEPT = 256

_LIBRARY = tuple(
    os.path.realpath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "purelib", "platlib")
)
_OWN = os.path.dirname(os.path.dirname(os.path.realpath(__file__))) + os.sep


class Pulse:
    """The beats of one loop.

    :param period: seconds between two of them
    """

    def __init__(self, period: float) -> None:
        self._period = period
        self.beaten = time.monotonic()
        #: the loop's thread, as the interpreter knows it; a patched threading may name it otherwise
        self.ident = 0
        #: what runs in that thread while the loop waits for something to do
        self.resting: set[CodeType] = set()

    @property
    def behind(self) -> float:
        """Seconds since it should have beaten last; 0 while it is in time."""
        return max(0.0, time.monotonic() - self.beaten - self._period)

    def beat(self) -> None:
        """Beat; in the loop's thread, from a callback."""
        if not self.ident:
            mine = sys._getframe()
            self.ident = next(key for key, one in sys._current_frames().items() if one is mine)
        self.beaten = time.monotonic()

    def learn(self) -> None:
        """What is on the stack beneath the callback that calls this stays there at rest."""
        frame = sys._getframe(1).f_back
        while frame is not None:
            self.resting.add(frame.f_code)
            frame = frame.f_back

    def holder(self) -> FrameType | None:
        """What runs in the loop's thread, unless the loop only waits, for events or a processor."""
        frame = sys._current_frames().get(self.ident)
        if frame is None:
            return None
        code = frame.f_code
        resting = code in self.resting or code.co_filename == selectors.__file__
        return None if resting else frame


class Watchdog:
    """Watches over one server's loop, and over that of its coroutines where that is another.

    :param server: the server; its ``blocked_warning`` says what is too long
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._limit = server.config.blocked_warning
        self._period = min(_BEAT, self._limit / 2) if self._limit else _BEAT
        self._main = Pulse(self._period)
        self._pulses = [self._main]
        self._timer: Timer | None = None
        self._stopped = False
        self._with_coroutines = False
        self._waiter = server.runtime.waiter()
        self._logged: dict[object, float] = {}

    @property
    def behind(self) -> float:
        """Seconds since the loop should have beaten last; 0 while it is in time."""
        return self._main.behind

    def start(self) -> None:
        """Begin; in the loop's thread."""
        self._main.beat()
        self._schedule()
        if self._limit:
            start_thread(self._server, self._watch)

    def watch_coroutines(self) -> None:
        """There are coroutines: watch over their loop as well."""
        if self._limit and not self._with_coroutines:
            self._with_coroutines = True
            self._server.runtime.run_coroutine(self._beat_among_coroutines())

    def stop(self) -> None:
        """End."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        self._waiter.wake()

    # -- in the loops' threads -------------------------------------------------------

    def _schedule(self) -> None:
        self._timer = self._server.runtime.call_later(self._period, self._beat)

    def _beat(self) -> None:
        if self._stopped:
            return
        if not self._main.resting:
            self._main.learn()
        seeing = self._server.seeing
        if seeing is not None:
            seeing.lagged(self.behind)
        self._main.beat()
        self._schedule()

    async def _beat_among_coroutines(self) -> None:
        from asyncio import sleep

        pulse = Pulse(self._period)
        pulse.beat()
        if pulse.ident == self._main.ident:
            return
        pulse.learn()
        self._pulses.append(pulse)
        while not self._stopped:
            await sleep(self._period)
            pulse.beat()

    # -- in the real thread ----------------------------------------------------------

    def _watch(self) -> None:
        reported: dict[Pulse, float] = {}
        looked = time.monotonic()
        worked = time.process_time()
        while not self._waiter.wait(self._period / 2):
            now, used = time.monotonic(), time.process_time()
            # A process that was stopped, or found no processor, has no culprit of its own.
            idle = now - looked > self._limit and used - worked < (now - looked) / 4
            looked, worked = now, used
            for pulse in () if idle else tuple(self._pulses):
                beaten = pulse.beaten
                if pulse.behind <= self._limit or reported.get(pulse) == beaten:
                    continue
                frame = pulse.holder()
                if frame is not None and not self._stopped:
                    reported[pulse] = beaten
                    self._report(frame)
                del frame

    def _report(self, frame: FrameType) -> None:
        seeing = self._server.seeing
        if seeing is not None:
            seeing.blocked()
        calls, blocking = _culprit(frame)
        culprit = f"{blocking.f_code.co_qualname} ({blocking.f_code.co_filename})"
        now = time.monotonic()
        last = self._logged.get(culprit)
        if last is not None and now - last < AGAIN:
            return
        if len(self._logged) >= _KEPT:
            self._logged.clear()
        self._logged[culprit] = now
        shown = min(max(calls, _SHOWN), _SHOWN_AT_MOST)
        stack = "".join(traceback.format_list(traceback.extract_stack(frame)[-shown:]))
        _logger.warning(
            "the loop of this process has been blocked for over %g s, and every connection with "
            "it, by %s. The stack now:\n%s",
            self._limit,
            culprit,
            stack.rstrip(),
        )


def _culprit(frame: FrameType) -> tuple[int, FrameType]:
    """The innermost function that is the project's, or else the innermost; how far in it is."""
    look: FrameType | None = frame
    calls = 1
    while look is not None:
        name = look.f_code.co_filename
        own = os.path.realpath(name).startswith((_OWN, *_LIBRARY))
        if not own and not name.startswith("<"):
            return calls, look
        look = look.f_back
        calls += 1
    return 1, frame


def start_thread(server: Server, function: Callable[..., object], *args: object) -> None:
    """Run *function* in a real daemon thread beside the loop of *server*."""
    start = getattr(server.runtime, "start_thread", None)
    if start is None:
        threading.Thread(target=function, args=args, daemon=True).start()
    else:
        start(function, *args)
