"""A Tornado server inside the test's own process, so that a test sees its objects.

Law: it is stopped, and its thread has ended, before the test is over.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dualws.contract import ServerConfig, WSGIApplication
from dualws_tornado.backend import TornadoBackend
from dualws_tornado.server import WebSocketServer
from support.raw import RawClient
from support.timing import TIMEOUT


class InsideServer:
    """A running server.

    :param application: what it serves
    :param settings: of :class:`dualws.config.ServerConfig`
    """

    def __init__(self, application: WSGIApplication, **settings: Any) -> None:
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address: tuple[str, int] = listener.getsockname()[:2]
        config = ServerConfig(**settings)
        self.server: WebSocketServer = TornadoBackend().make_server(application, config, [listener])
        self._opened = threading.Event()
        opened = self.server.opened
        self.server.opened = lambda: (opened(), self._opened.set())
        self.thread = threading.Thread(target=self.server.run, name="server")
        self.thread.start()
        assert self._opened.wait(TIMEOUT)

    def connect(self) -> RawClient:
        """A new connection."""
        return RawClient(self.address)

    def on_loop(self, function: Any) -> Any:
        """What *function* returns in the loop's thread."""
        done = threading.Event()
        results: list[Any] = []

        def call() -> None:
            results.append(function())
            done.set()

        self.server.runtime.call_soon(call)
        assert done.wait(TIMEOUT)
        return results[0]

    def stop(self) -> None:
        """Stop it and wait for its end."""
        self.server.stop()
        self.thread.join(TIMEOUT)
        assert not self.thread.is_alive(), "the server did not stop"


@contextmanager
def running(application: WSGIApplication, **settings: Any) -> Iterator[InsideServer]:
    """A server for the time of a ``with`` block."""
    inside = InsideServer(application, **settings)
    try:
        yield inside
    finally:
        inside.stop()
