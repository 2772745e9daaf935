"""Two thousand idle websockets: what their handlers hold while nothing comes."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable

import pytest

from support.crowd import open_socket
from support.frames import TEXT, build, read_frame
from support.server import LiveServer
from support.timing import eventually


@pytest.mark.parametrize("style", ["events", "ws4py", "async"])
def test_idle_handlers_hold_no_thread_and_no_greenlet(
    serve_app: Callable[..., LiveServer], style: str
) -> None:
    many = 2000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < many * 2:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(many * 2 + 500, hard), hard))
    server = serve_app("support.project.wsgi")
    with open_socket(server, f"/ws/{style}/") as first:  # starts what is started once
        first.send(build(TEXT, b"x"))
        read_frame(first)
        _, threads, greenlets = server.get_json("/ws/census/")
        clients = [open_socket(server, f"/ws/{style}/") for _ in range(many)]

        def idle() -> bool:
            now = server.get_json("/ws/census/")
            assert now[0] == many + 1
            # HTTP's own workers come and go.
            return now[1] <= threads + 20 and now[2] <= greenlets + 20

        eventually(idle, what=f"{many} idle handlers hold threads or greenlets")
        for client in clients[::100]:
            client.send(build(TEXT, json.dumps(style).encode()))
            assert read_frame(client).payload == json.dumps(style).encode()
        for client in clients:
            client.close()
