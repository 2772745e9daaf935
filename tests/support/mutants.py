"""Backends that are broken in one way each, for the conformance kit to catch.

Law: a mutant is the example of plain threads with one thing replaced when its server is made;
``DUALWS_MUTANT`` names it. ``none`` replaces nothing. Runs in the server process.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any

from dualws_threaded import response as responses
from dualws_threaded import server as servers
from dualws_threaded.backend import ThreadedBackend
from dualws_threaded.request import Reader
from dualws_threaded.response import Response
from dualws_threaded.runtime import Runtime, Timer
from dualws_threaded.server import Exchange, ThreadedServer, Upgrade
from dualws_threaded.transport import Transport

from dualws.contract import Server


class _SharedContext:
    """Runs code in the thread's own context, which the next request sees again."""

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)


def shares_context() -> None:
    """Requests of one connection share a context."""
    servers.contextvars = type("fake", (), {"Context": _SharedContext})


def takes_bare_lf() -> None:
    """A line may end with LF alone."""

    def line(self: Reader, limit: int, too_long: Any = 400) -> bytes | None:
        while (end := self.buffer.find(b"\n", 0, limit + 2)) < 0:
            if not self.fill():
                return None
        found = bytes(self.buffer[:end])
        del self.buffer[: end + 1]
        return found.removesuffix(b"\r")

    Reader.line = line


def drops_early_bytes() -> None:
    """What came together with the handshake is lost."""
    original = Transport.__init__

    def init(self: Transport, runtime: Runtime, sock: Any, owner: Any, early: bytes) -> None:
        original(self, runtime, sock, owner, b"")

    Transport.__init__ = init


def delivers_twice() -> None:
    """Every byte that arrives is given to its owner again."""
    original = Transport.__init__

    def init(self: Transport, runtime: Runtime, sock: Any, owner: Any, early: bytes) -> None:
        original(self, runtime, sock, owner, early)
        received = owner.data_received

        class Twice:
            def __getattr__(self, name: str) -> Any:
                return getattr(owner, name)

            def data_received(self, data: bytes) -> None:
                received(data)
                received(data)

        self._owner = Twice()

    Transport.__init__ = init


def forgets_buffer() -> None:
    """What the operating system does not take at once is lost."""

    def write(self: Transport, data: bytes | bytearray) -> int:
        with contextlib.suppress(OSError):
            self._sock.send(data)
        return 0

    Transport.write = write


def never_pauses() -> None:
    """Reading goes on whatever the owner asks for."""
    Transport.pause_reading = lambda self: None


def hides_the_end() -> None:
    """The owner is not told that the peer has gone."""
    Transport._lost = lambda self, error: None


def loses_timers() -> None:
    """Timers never fire."""
    Timer.fire = lambda self: None


def skips_close() -> None:
    """The result's close() is never called."""

    def cycle(self: Exchange, environ: Any, response: Response, request: Any) -> None:
        response.send(list(self.server.application(environ, response.start_response)))

    Exchange._cycle = cycle


def sends_body_to_head() -> None:
    """HEAD is answered like GET."""
    original = Response.__init__

    def init(self: Response, sock: Any, request: Any, stopping: Any) -> None:
        original(self, sock, request, stopping)
        self._head_only = False

    Response.__init__ = init


def splits_responses() -> None:
    """Line breaks in an application's fields go to the client."""
    responses._CONTROL = type("fake", (), {"search": lambda self, text: None})()


def keeps_underscores() -> None:
    """X_Forwarded_Proto becomes what X-Forwarded-Proto is."""
    original = servers.make_environ

    def make_environ(**given: Any) -> Any:
        environ = original(**given)
        for name, value in given["headers"]:
            if "_" in name:
                environ["HTTP_" + name.upper()] = value
        return environ

    servers.make_environ = make_environ


def leaks_descriptors() -> None:
    """A duplicate of every websocket's socket stays open."""
    kept = []
    original = Upgrade.switch

    def switch(self: Upgrade, head: bytes, owner: Any) -> Transport:
        kept.append(self._exchange.sock.dup())
        return original(self, head, owner)

    Upgrade.switch = switch


def leaks_memory() -> None:
    """A page of memory of every websocket stays."""
    kept = []
    original = Upgrade.switch

    def switch(self: Upgrade, head: bytes, owner: Any) -> Transport:
        kept.append(bytearray(64 * 1024))
        return original(self, head, owner)

    Upgrade.switch = switch


def says_no_goodbye() -> None:
    """Live websockets are not told that the server stops."""
    ThreadedServer.closing = lambda self: None


MUTATIONS: dict[str, Callable[[], None]] = {
    mutation.__name__: mutation
    for mutation in (
        *(shares_context, takes_bare_lf, drops_early_bytes, delivers_twice, forgets_buffer),
        *(never_pauses, hides_the_end, loses_timers, skips_close, sends_body_to_head),
        *(splits_responses, keeps_underscores, leaks_descriptors, leaks_memory, says_no_goodbye),
    )
}


class MutantBackend(ThreadedBackend):
    """The example's backend, broken in the way that ``DUALWS_MUTANT`` names."""

    name = "mutant"

    def make_server(self, *args: Any, **options: Any) -> Server:
        """A server with the mutation in place."""
        chosen = os.environ["DUALWS_MUTANT"]
        if chosen != "none":
            MUTATIONS[chosen]()
        return super().make_server(*args, **options)
