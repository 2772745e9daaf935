"""The npm package ws, the client of most Node programs."""

from __future__ import annotations

import json

import pytest

from support.machine import needs
from support.node import run_script
from support.server import LiveServer

pytestmark = needs("node", "npm")


@pytest.mark.parametrize("path", ["/ws/echo/", "/ws/events/", "/ws/async/"])
def test_echo(live: LiveServer, path: str) -> None:
    output = run_script("ws_echo.mjs", live.url(path, "ws"))
    assert json.loads(output) == {
        "protocol": "chat.v1",
        "echoed": [True] * 5,
        "pong": "are you there?",
        "code": 4001,
        "reason": "thank you",
    }
