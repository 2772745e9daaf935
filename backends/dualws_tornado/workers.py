"""The threads that run WSGI applications, and those parked in blocking websocket handlers.

Law: two budgets. A thread starts in the HTTP budget; when its request becomes a blocking
websocket inside the application it is *promoted* into the other budget, and its place serves
HTTP again at once: parked sockets never starve requests. A handler that follows its request has
a place in that budget from the answer on, and a fresh, bare thread once the request is over;
nothing else has to start then. Threads are daemons, so that a parked one never blocks the end of
the process.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from dualws.database import release_connections
from dualws_tornado.threads import start_bare

log = logging.getLogger("dualws.server")

#: Seconds after which a thread without work ends.
IDLE_TIME = 10.0


class Workers:
    """Runs jobs in threads that are started when needed and end when idle.

    :param threads: most threads that run jobs at a time
    :param handlers: most promoted threads at a time
    :param name: prefix of the threads' names
    """

    def __init__(self, threads: int, handlers: int, name: str) -> None:
        self._threads = threads
        self._handlers = handlers
        self._name = name
        self._jobs: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._queued = 0
        self._idle = 0
        self._running = 0
        self._promoted = 0
        self._started = 0

    @property
    def running(self) -> int:
        """Threads in the budget for jobs, idle ones included."""
        return self._running

    @property
    def queued(self) -> int:
        """Jobs that wait for a thread."""
        return self._queued

    @property
    def promoted(self) -> int:
        """Places of handlers that are taken: by promoted threads, and for :meth:`move`."""
        return self._promoted

    def submit(self, job: Callable[[], object]) -> None:
        """Run *job* as soon as a thread is free; what it raises is logged."""
        with self._lock:
            self._queued += 1
            start = self._wants_thread()
        self._jobs.put(job)
        if start:
            self._start()

    def claim(self) -> bool:
        """Take a handler's place, for :meth:`move` or :meth:`leave`; False when none is free."""
        with self._lock:
            if self._promoted >= self._handlers:
                return False
            self._promoted += 1
        return True

    def unclaim(self) -> None:
        """Undo :meth:`claim`."""
        with self._lock:
            self._promoted -= 1

    def leave(self) -> None:
        """Move the calling thread, which has claimed a place, out of the budget for jobs."""
        with self._lock:
            self._running -= 1
            start = self._wants_thread()
        if start:
            self._start()

    def come_back(self) -> None:
        """Undo :meth:`leave`, as the last act of the job that called it."""
        with self._lock:
            self._running += 1

    def move(self, work: Callable[[], object]) -> None:
        """Run *work* in a fresh thread, in the place that was claimed.

        The stack of the calling thread has grown deep, and a parked one would keep its pages.
        The fresh one is bare (:mod:`dualws_tornado.threads`).

        :raises RuntimeError: the system refuses another thread; nothing has changed
        """

        def run() -> None:
            try:
                work()
            finally:
                self.unclaim()

        start_bare(run)

    def _wants_thread(self) -> bool:
        """Whether another thread must be started, which is then counted; under the lock."""
        if self._queued <= self._idle or self._running >= self._threads:
            return False
        self._running += 1
        self._started += 1
        return True

    def _start(self) -> None:
        thread = threading.Thread(
            target=self._work, name=f"{self._name}-{self._started}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            # The system refuses another thread: the job waits for one that is there.
            with self._lock:
                self._running -= 1
            log.exception("cannot start another thread: %d run; raise the limit", self._running)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except BaseException:
                log.exception("unexpected error in a worker thread")
            # An idle thread must not keep the last request alive.
            del job
        # CONN_MAX_AGE may have kept some for it.
        release_connections()

    def _next(self) -> Callable[[], object] | None:
        """The next job, or None when this thread is to end; it is no longer counted then."""
        with self._lock:
            # Threads that were promoted and came back may be more than the budget allows.
            if self._running > self._threads:
                self._running -= 1
                return None
            self._idle += 1
        while True:
            try:
                job = self._jobs.get(timeout=IDLE_TIME)
            except queue.Empty:
                with self._lock:
                    # A job may have been promised to this idle thread in the meantime.
                    if self._queued:
                        continue
                    self._idle -= 1
                    self._running -= 1
                    return None
            with self._lock:
                self._idle -= 1
                self._queued -= 1
            return job
