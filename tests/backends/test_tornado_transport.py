"""A socket that the loop does not watch any more."""

from __future__ import annotations

import queue
from collections.abc import Iterable
from typing import Any

import pytest

from dualws.contract import Environ, StartResponse
from dualws.errors import WebSocketClosed
from support import frames
from support.timing import TIMEOUT
from support.tornado_server import running


class Unwilling:
    """A loop as uvloop's, once a socket has met an error."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop

    def add_writer(self, *arguments: object) -> None:
        raise RuntimeError("the handler is closed")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loop, name)


def test_a_socket_that_cannot_be_watched_is_lost_at_once() -> None:
    sockets: queue.Queue[Any] = queue.Queue()
    got: queue.Queue[Any] = queue.Queue()

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        ws = environ["wsgi.websocket"]
        ws.accept()
        sockets.put(ws)
        got.put(ws.receive())
        return []

    with running(application) as server, server.connect() as client:
        frames.handshake(client, "/", "a")
        ws = sockets.get(timeout=TIMEOUT)
        transport = ws.connection._transport
        transport._loop = Unwilling(transport._loop)
        ws.send(bytes(64 << 20))  # the client reads nothing
        assert got.get(timeout=TIMEOUT) is None
        with pytest.raises(WebSocketClosed):
            ws.send("more")
