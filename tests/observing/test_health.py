"""Liveness and readiness, on the endpoint and beside the project."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from support.crowd import ask, open_socket
from support.frames import read_frame
from support.timing import SCALE, eventually

from .conftest import Observed, Serve

Observe = Callable[..., Observed]


def test_a_server_that_serves_is_alive_and_ready(observe: Observe) -> None:
    observed = observe()
    for path in ("/live", "/ready"):
        answer = observed.get(path)
        assert (answer.status, answer.get("Cache-Control")) == (200, "no-store")
        assert observed.server.get(path).status == 404


def test_beside_the_project_when_that_is_wanted(serve_app: Serve) -> None:
    server = serve_app(
        "support.project.wsgi", "--health-checks", "--live-path", "/-/live", "--ready-path", "/-/ok"
    )
    assert server.get("/-/live").body == b"alive\n"
    assert server.get("/-/ok").body == b"ready\n"
    assert server.get("/live").status == 404
    with server.connect() as client:
        client.send_request("HEAD", "/-/ok", ("Host", server.netloc))
        assert client.read_response("HEAD").get("Content-Length") == "6"
        client.send_request("POST", "/-/ok", ("Host", server.netloc), ("Content-Length", "0"))
        assert client.read_response().status == 404


@pytest.mark.parametrize("figures", ["its own", "shared", "not to be had"])
def test_not_ready_while_it_drains(observe: Observe, tmp_path: Path, figures: str) -> None:
    """A peer that does not answer the goodbye keeps the server for a moment."""
    folder = tmp_path / "figures"
    observed = observe(*(() if figures == "its own" else ("--metrics-folder", str(folder))))
    if figures == "not to be had":
        folder.rename(tmp_path / "elsewhere")
    with open_socket(observed.server, "/ws/echo/") as client:
        assert ask(client, b"hello") == "hello"
        observed.server.signal(signal.SIGTERM)
        read_frame(client)
        answer = observed.get("/ready")
        assert (answer.status, answer.body) == (503, b"draining\n")
        assert observed.get("/live").status == 200


def test_not_alive_while_the_loop_stands_still(observe: Observe) -> None:
    observed = observe("--live-timeout", str(0.5 * SCALE), "--blocked-warning", "0")
    with open_socket(observed.server, f"/observing/block/?seconds={1.5 * SCALE}"):
        answer = eventually(
            lambda: (one := observed.get("/live")).status == 503 and one, what="it stays alive"
        )
        assert answer.body.startswith(b"the loop has not turned for ")
    eventually(lambda: observed.get("/live").status == 200, what="it does not come back")
