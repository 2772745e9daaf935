"""python-socketio as its users run it, with npm's socket.io-client."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from compat import guide
from compat.data import digest, large
from compat.libraries import need
from support.backends import chosen
from support.machine import needs
from support.node import run_script
from support.server import LiveServer

need("socketio", "simple_websocket")

#: gevent's greenlets are no threads of Tornado's.
MODES = [
    (backend, mode)
    for backend in chosen()
    for mode in ("gevent", "threading")
    if mode != "gevent" or backend == "gevent"
]
PLACES = ["wsgi", "socketio_urls"]

Serve = Callable[..., LiveServer]


@needs("node", "npm")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("backend", "mode"), MODES)
def test_the_guides_server_with_the_npm_client(
    backend: str, mode: str, place: str, serve_app: Serve, tmp_path: Path
) -> None:
    guide.write(tmp_path, f"{place}.py", threading=mode)
    if place == "wsgi":
        guide.write(tmp_path, "urls.py")
    else:
        (tmp_path / f"{place}.py").rename(tmp_path / "urls.py")
    server = serve_app(
        "compat.more_socketio",
        env={
            "DJANGO_SETTINGS_MODULE": "compat.settings",
            "COMPAT_SOCKETIO": "wsgi" if place == "wsgi" else "urls",
        },
    )
    for transport in ("websocket", "polling", "upgrade"):
        seen = json.loads(run_script("socketio-client.mjs", server.url(""), transport))
        assert seen["thanks"] == "thanks"
        assert seen["left"] == "left"
        assert seen["used"] == ("polling" if transport == "polling" else "websocket")
        if transport != "polling":
            assert seen["large"]["size"] == 30_000_000
            assert seen["large"]["digest"] == digest(large(30_000_000))
            assert seen["large"]["pauses"] > 100
    server.check()
