"""The npm package ``ws``, which most of Node.js speaks through."""

from __future__ import annotations

import json

import pytest

from support.machine import needs
from support.node import run_script
from support.server import LiveServer


@needs("node", "npm")
@pytest.mark.parametrize("path", ["/ws/echo/", "/ws/events/", "/ws/async/"])
def test_the_npm_client(live: LiveServer, path: str) -> None:
    output = run_script("ws-client.mjs", live.url(path, "ws"), live.url("").rstrip("/"))
    seen = json.loads(output)
    assert seen["protocol"] == "chat.v1"
    assert seen["connection"].lower() == "upgrade"
    assert seen["pong"] == "are you there"
    assert (seen["code"], seen["reason"]) == (3001, "done here")
