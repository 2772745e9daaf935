"""Two people in Chromium, on both backends: what they see of each other, and of a bad network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.demoserver import DemoServer
from support.machine import find, needs
from support.node import run_script
from support.timing import TIMEOUT

pytestmark = needs("chromium", "node", "npm")


@pytest.fixture
def fresh(backend: str, tmp_path: Path) -> Iterator[DemoServer]:
    """A demo in which nobody has said anything."""
    server = DemoServer(backend=backend, folder=tmp_path)
    yield server
    server.check()
    server.stop()


def run(script: str, *arguments: str) -> None:
    environ = {"CHROMIUM": find("chromium") or "", "BROWSER_TIMEOUT": str(round(TIMEOUT * 1000))}
    assert run_script(f"demo/{script}", *arguments, env=environ) == "passed\n"


def test_two_people_see_each_other(fresh: DemoServer) -> None:
    run("two_people.mjs", fresh.url(), fresh.carrier)


def test_a_bad_network_loses_nothing_and_doubles_nothing(fresh: DemoServer) -> None:
    run("bad_network.mjs", fresh.url())
