"""A handler that sends without end to a peer that reads all of it leaves the others their turn."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable

import pytest

from support.crowd import ask, open_socket
from support.raw import RawClient
from support.server import LiveServer
from support.timing import SCALE, eventually

#: Questions of the one who must not starve, and seconds that all of them may take.
QUESTIONS = 20
#: Handlers that send without end.
PATHS = [
    "",
    "events/",
    "ws4py/",
    "long/",
    "fragments/",
    "async/",
    "long/async/",
    "fragments/async/",
]
DEFLATE = "Sec-WebSocket-Extensions", "permessage-deflate"
#: Who answers them.
PEERS = "/ws/echo/", "/ws/async/", "/ws/events/"
#: Bytes that show that the greedy one sends.
PLENTY = 10_000
PATIENCE = 3.0 * SCALE


class Reader(threading.Thread):
    """Reads whatever comes as fast as it can, until the connection is closed.

    :param client: an open websocket
    """

    def __init__(self, client: RawClient) -> None:
        super().__init__(daemon=True)
        self._client = client
        self.count = 0

    def run(self) -> None:
        room = bytearray(1 << 20)
        try:
            while got := self._client.sock.recv_into(room):
                self.count += got
        except OSError:
            pass  # closed by the test


@pytest.fixture
def server(share_app: Callable[..., LiveServer]) -> LiveServer:
    """One whose other tests do not suffer when it starves."""
    return share_app("support.project.wsgi")


@pytest.mark.parametrize("path", PATHS)
def test_others_have_their_turn(server: LiveServer, path: str) -> None:
    with contextlib.ExitStack() as sockets:
        modest = [sockets.enter_context(open_socket(server, peer)) for peer in PEERS]
        greedy = sockets.enter_context(open_socket(server, f"/ws/slow/endless/{path}", DEFLATE))
        reader = Reader(greedy)
        reader.start()
        eventually(lambda: reader.count > PLENTY, what="nothing is sent")
        began = time.monotonic()
        for number in range(QUESTIONS):
            for client in modest:
                assert ask(client, b"%d" % number) == str(number)
        assert server.get("/status/200/").status == 200
        assert time.monotonic() - began < PATIENCE
        before = reader.count
        eventually(lambda: reader.count > before + PLENTY, what="no more is sent")
        greedy.sock.shutdown(socket.SHUT_RDWR)
        reader.join()
