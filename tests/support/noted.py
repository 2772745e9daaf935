"""A connection with a transport and a runtime that only note: its state machine, step by step."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

from dualws import hot
from dualws.connection import Connection
from dualws.contract import ServerConfig
from dualws.flushing import Flusher
from dualws.protocol.deflate import Deflate
from dualws.protocol.stream import Stream


def frame(first: int, payload: bytes = b"") -> bytes:
    """A frame masked with zeros: its payload is readable."""
    assert len(payload) < 126
    return bytes([first, 0x80 | len(payload), 0, 0, 0, 0]) + payload


class NotedTransport:
    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.buffered = 0
        self.reading = False
        self.ended = ""

    def write(self, data: bytes) -> int:
        self.written.append(bytes(data))
        return self.buffered

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = "aborted"


class NotedTimer:
    def __init__(self, delay: float, call: Callable[[], object]) -> None:
        self.delay = delay
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class NotedWaiter:
    """Runs the next step of the test's plan instead of waiting."""

    def __init__(self, runtime: NotedRuntime) -> None:
        self._runtime = runtime
        self.woken = 0

    def wait(self, timeout: float | None = None) -> bool:
        if not self.woken and self._runtime.plan:
            self._runtime.plan.pop(0)()
        if self.woken:
            self.woken -= 1
            return True
        assert timeout is not None, "would wait for ever"
        return False

    def wake(self) -> None:
        self.woken += 1


class NotedRuntime:
    def __init__(self) -> None:
        self.timers: list[NotedTimer] = []
        self.plan: list[Callable[[], object]] = []

    def lock(self) -> Any:
        return (hot.Mutex or threading.Lock)()

    def waiter(self) -> NotedWaiter:
        return NotedWaiter(self)

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: object
    ) -> NotedTimer:
        self.timers.append(NotedTimer(delay, partial(callback, *args)))
        return self.timers[-1]


class Case:
    """One open connection and all that it touches."""

    def __init__(self, *, deflate: Deflate | None = None, **config: Any) -> None:
        self.runtime = NotedRuntime()
        self.forgotten: list[Connection] = []
        self.config = ServerConfig(**config)
        self.server: Any = SimpleNamespace(
            runtime=self.runtime, config=self.config, connections=set(), on_empty=None
        )
        self.server.forget = self.forgotten.append
        self.server.flusher = Flusher(self.runtime)
        self.given_up: list[str] = []
        self.server.gave_up = self.given_up.append
        stream = Stream(self.config.max_message_size, deflate=deflate)
        self.connection = Connection(self.server, stream, deflate)
        self.transport = NotedTransport()
        self.connection.open(self.transport)
        self.ready = 0

    def on_ready(self) -> None:
        self.ready += 1

    def take(self) -> object:
        return self.connection.take(self.on_ready)

    def receive(self, *frames: bytes) -> None:
        self.connection.data_received(b"".join(frames))
