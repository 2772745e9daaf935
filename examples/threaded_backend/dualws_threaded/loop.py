"""A small event loop in a thread of its own: descriptors, timers, calls from other threads.

Law: only its own thread touches the selector; everybody else leaves a note and wakes it.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable

log = logging.getLogger("dualws.server")

Callback = Callable[[], object]


class Loop:
    """Starts with :meth:`start`; its thread is a daemon."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._calls: deque[Callback] = deque()
        self._timers: list[tuple[float, int, Callback]] = []
        self._numbers = itertools.count()
        self._ears, self._mouth = socket.socketpair()
        self._ears.setblocking(False)
        self._mouth.setblocking(False)
        self._selector.register(
            self._ears, selectors.EVENT_READ, {selectors.EVENT_READ: self._hear}
        )
        self._running = False
        self._thread = threading.Thread(target=self._run, name="dualws-loop", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._running = True
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait for it."""
        self.call_soon(self._end)
        self._thread.join()
        self._selector.close()
        self._ears.close()
        self._mouth.close()

    def _end(self) -> None:
        self._running = False

    def call_soon(self, callback: Callback) -> None:
        """Call *callback* in the loop's thread, never before this returns; from any thread."""
        self._calls.append(callback)
        # Full: it will wake anyway. Closed: the server has ended.
        with contextlib.suppress(OSError):
            self._mouth.send(b"\0")

    def call_at(self, when: float, callback: Callback) -> None:
        """Call *callback* at *when* (``time.monotonic``); in the loop's thread."""
        heapq.heappush(self._timers, (when, next(self._numbers), callback))

    def watch(self, sock: socket.socket, event: int, callback: Callback | None) -> None:
        """Call *callback* whenever *sock* is ready for *event*, None: no more; in the thread."""
        try:
            callbacks = dict(self._selector.get_key(sock).data)
        except KeyError:
            callbacks = {}
        known = bool(callbacks)
        if callback is None:
            callbacks.pop(event, None)
        else:
            callbacks[event] = callback
        if callbacks:
            change = self._selector.modify if known else self._selector.register
            change(sock, sum(callbacks), callbacks)
        elif known:
            self._selector.unregister(sock)

    def _hear(self) -> None:
        self._ears.recv(4096)

    def _run(self) -> None:
        while self._running:
            timeout = None
            if self._timers:
                timeout = max(0.0, self._timers[0][0] - time.monotonic())
            for key, events in self._selector.select(timeout):
                for event, callback in tuple(key.data.items()):
                    if events & event:
                        self._call(callback)
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                self._call(heapq.heappop(self._timers)[2])
            for _ in range(len(self._calls)):
                self._call(self._calls.popleft())

    @staticmethod
    def _call(callback: Callback) -> None:
        try:
            callback()
        except Exception:
            log.exception("unexpected error in the loop")
