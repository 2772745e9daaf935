"""Websockets that are accepted inside the application count once, like all others."""

from __future__ import annotations

from collections.abc import Callable

from support import frames
from support.crowd import open_socket
from support.server import LiveServer, options
from support.timing import eventually

#: Not the address that the tests' own requests come from.
ELSEWHERE = "127.0.0.2"


def status(server: LiveServer) -> int:
    with server.connect(source=ELSEWHERE) as client:
        return frames.handshake(client, "/ws/inside/", server.netloc).status


def test_they_count_once_for_their_address(serve_app: Callable[..., LiveServer]) -> None:
    server = serve_app("support.project.wsgi", *options(max_connections_per_address=2))
    one = open_socket(server, "/ws/inside/", by=server.connect(source=ELSEWHERE))
    with open_socket(server, "/ws/inside/", by=server.connect(source=ELSEWHERE)), one:
        assert status(server) == 429
        one.close()
        eventually(lambda: status(server) == 101, what="one has left")
