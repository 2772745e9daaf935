"""What is left to other workers when a server ends: all that it has counted."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

from support.crowd import ask, open_socket
from support.frames import read_frame
from support.server import LiveServer


def test_figures_are_left_where_peers_do_not_answer(
    serve_app: Callable[..., LiveServer], tmp_path: Path
) -> None:
    """The end of the websockets takes all the time that there is for it."""
    folder = tmp_path / "figures"
    server = serve_app(
        "support.project.wsgi",
        *("--metrics-bind", "127.0.0.1:0", "--metrics-folder", str(folder)),
    )
    with open_socket(server, "/ws/echo/") as client:
        assert ask(client, b"hello") == "hello"
        server.signal(signal.SIGINT)
        assert read_frame(client).close_code == 1001
        assert server.wait() == 0
    (written,) = folder.glob("*-*.json")
    counters = json.loads(written.read_text())["counters"]
    assert counters["dualws_closes_total\x1f1001"] == 1
    assert counters["dualws_messages_received_total"] == 1
