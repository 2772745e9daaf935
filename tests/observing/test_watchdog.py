"""Code that blocks the loop or the hub is named, with its stack."""

from __future__ import annotations

import contextlib
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

from dualws.config import ServerConfig
from dualws.observing.watchdog import Watchdog
from support.crowd import answer, open_socket
from support.timing import eventually

from .conftest import Observed, Serve

Observe = Callable[..., Observed]
_BLOCKED = r"has been blocked for over 0\.\d+ s, and every connection with it, by "


def test_the_culprit_is_named_while_it_blocks(serve_app: Serve) -> None:
    server = serve_app("support.project.wsgi")
    start = server.stderr.position
    server.get("/observing/block-by-request/", seconds=1)
    found = server.stderr.wait_for(
        rf"{_BLOCKED}stand_still \(.*observing\.py\)\. The stack now:\n"
        r"(  .*\n)+ +sleep\(seconds\)\n(?=\S|\Z)",
        start=start,
    )
    assert found is not None, server.output()


def test_code_that_computes_is_named_too(serve_app: Serve) -> None:
    server = serve_app("support.project.wsgi", "--blocked-warning", "0.1")
    server.get("/observing/block-by-request/", seconds=0.6, how="compute")
    assert server.stderr.wait_for(rf"{_BLOCKED}compute \("), server.output()


def test_a_culprit_is_logged_once_in_a_while_and_counted_each_time(observe: Observe) -> None:
    observed = observe("--blocked-warning", "0.1")
    for how in ("sleep", "sleep", "compute"):
        before = observed.figures()["dualws_loop_blocked_total"]
        observed.server.get("/observing/block-by-request/", seconds=0.5, how=how)
        eventually(
            lambda wanted=before + 1: observed.figures()["dualws_loop_blocked_total"] == wanted,
            what="not counted",
        )
    # What is logged is counted before.
    assert observed.server.stderr.wait_for(r"by compute \("), observed.server.output()
    text = observed.server.stderr.text()
    assert text.count("blocked for over") == 2
    assert text.count("by stand_still") == text.count("by compute") == 1


def test_a_coroutine_that_blocks_its_loop_is_named(serve_app: Serve) -> None:
    """On gevent too, where coroutines have a loop of their own in another thread."""
    server = serve_app("support.project.wsgi", "--blocked-warning", "0.1")
    with (
        open_socket(server, "/ws/async/"),
        open_socket(server, "/observing/block-async/?seconds=0.6") as client,
    ):
        assert answer(client) == "done"
    assert server.stderr.wait_for(rf"{_BLOCKED}stand_still \("), server.output()


def test_nothing_is_said_of_a_server_that_is_only_busy(serve_app: Serve, key: str) -> None:
    """Handlers stand still longer than what is too long for the loop, which serves all others."""
    server = serve_app("support.project.wsgi")
    with contextlib.ExitStack() as clients:
        for path in ("/ws/busy/", "/ws/slow/busy/async/"):
            clients.enter_context(open_socket(server, f"{path}?key={key}"))
        assert server.get_json("/notes/", key=key, count=2) == ["busy", "busy"]
        begun = time.monotonic()
        while time.monotonic() - begun < 4 * ServerConfig().blocked_warning:
            assert server.get("/echo/").status == 200
        for _ in range(2):
            server.get("/release/", key=key)
    server.stop()
    assert "blocked" not in server.output()


@pytest.mark.parametrize(("calls", "shown"), [(0, 12), (20, 21), (60, 30)])
@pytest.mark.parametrize("file", ["threading.py", "<frozen made_up>"])
def test_the_stack_is_short_and_begins_with_the_projects_call(
    caplog: pytest.LogCaptureFixture, calls: int, shown: int, file: str
) -> None:
    """*calls* of a library lie between the project and what blocks."""
    where = file if file.startswith("<") else str(Path(sysconfig.get_path("stdlib"), file))
    library: dict[str, Any] = {}
    # A function for each call: repeated lines of a stack are shown as one.
    source = "def down1(do):\n    do()\n"
    for depth in range(2, 61):
        source += f"def down{depth}(do):\n    down{depth - 1}(do)\n"
    exec(compile(source, where, "exec"), library)
    server = SimpleNamespace(
        config=ServerConfig(), seeing=None, runtime=SimpleNamespace(waiter=lambda: None)
    )
    frames: list[FrameType] = []

    def innermost() -> None:
        frames.append(sys._getframe())

    def project() -> None:
        library[f"down{calls}"](innermost) if calls else innermost()

    library["down40"](project)
    frame = frames[0].f_back if calls else frames[0]
    assert frame is not None
    Watchdog(server)._report(frame)  # type: ignore[arg-type]
    (line,) = caplog.messages
    assert ("innermost" if not calls else "project") in line.partition(". The stack")[0]
    assert line.count("  File ") == shown


def test_it_can_be_switched_off(serve_app: Serve) -> None:
    server = serve_app("support.project.wsgi", "--blocked-warning", "0")
    with open_socket(server, "/observing/block/?seconds=0.6"):
        assert server.get("/echo/").status == 200
    server.stop()
    assert "blocked" not in server.output()
