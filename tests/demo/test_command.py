"""``dualws demo`` as a command: how it opens, and that nothing is left of it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.demoserver import Client, DemoServer
from support.server import server_environment
from support.timing import TIMEOUT, eventually

StartDemo = Callable[..., DemoServer]


@pytest.fixture
def start(backend: str, tmp_path: Path) -> Iterator[StartDemo]:
    """``start("--option", …, env=…)``: a demo for this test only."""
    servers: list[DemoServer] = []

    def start(*options: str, **more: dict[str, str]) -> DemoServer:
        servers.append(DemoServer(backend=backend, folder=tmp_path, options=options, **more))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def folders(tmp_path: Path) -> list[Path]:
    return list(tmp_path.glob("dualws-demo-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_at_once_and_leaves_nothing(
    start: StartDemo, tmp_path: Path, number: signal.Signals
) -> None:
    server = start("--bind", "127.0.0.1:0", "--no-browser")
    (folder,) = folders(tmp_path)
    assert (folder / "chat.sqlite3").exists()
    with Client(server, "ada").enter() as visit:
        visit.missed()
        server.signal(number)
        assert server.wait() == 0
    assert server.stderr.text() == ""
    assert folders(tmp_path) == []


def test_it_says_where_it_is_and_who_may_come_in(demo: DemoServer) -> None:
    said = demo.stdout.wait_for(r"(?s)Sign in as (\w+) or (\w+), password (\S+)\n.*(http://\S+)")
    assert said is not None
    address = f"http://localhost:{demo.port}"
    assert said.groups() == ("ada", "grace", "difference-engine", address)


def test_it_takes_another_port_when_the_usual_one_is_taken(start: StartDemo) -> None:
    with socket.socket() as usual:
        usual.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            usual.bind(("127.0.0.1", 8000))
            usual.listen()
        except OSError:
            pass  # it is taken already, which is all that this test wants
        # The settings of another project do not matter to the demo.
        server = start("--no-browser", env={"DJANGO_SETTINGS_MODULE": "no.such.settings"})
        assert server.port != 8000
        Client(server, "ada")


def test_an_address_that_was_asked_for_is_not_exchanged(backend: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "dualws.serving.cli", "demo", "--backend", backend),
                *("--no-browser", "--bind", address),
            ],
            cwd=tmp_path,
            env=server_environment(tmp_path, {"TMPDIR": str(tmp_path)}),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
    assert done.returncode == 2
    assert address in done.stderr
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr
    assert folders(tmp_path) == []


def test_it_opens_a_browser_where_one_can_be_seen(start: StartDemo, tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> "{opened}"\n')
    browser.chmod(0o755)
    env = {"BROWSER": f"{browser} %s", "DISPLAY": ":0"}
    server = start("--bind", "127.0.0.1:0", env=env)
    eventually(lambda: opened.exists() and opened.read_text(), what="no browser was opened")
    assert opened.read_text() == f"http://127.0.0.1:{server.port}\n"
    server.check()


def test_other_host_names_are_let_in_only_when_others_can_reach_it(
    start: StartDemo, demo: DemoServer
) -> None:
    for server, status in [(demo, 400), (start("--bind", "0.0.0.0:0", "--no-browser"), 200)]:
        with server.connect() as client:
            client.send_request("GET", "/sign-in/", ("Host", "phone.example"))
            assert client.read_response().status == status
    demo.expect_traceback("DisallowedHost")
