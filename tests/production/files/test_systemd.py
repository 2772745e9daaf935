"""The systemd units: accepted by systemd, well locked in, and what they start does serve."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.machine import find, needs
from support.proxies import DEPLOY, free_ports
from support.raw import RawClient
from support.server import Output, server_environment
from support.timing import TIMEOUT, eventually

UNITS = DEPLOY / "systemd"
VENV = "/srv/mysite/.venv/bin/dualws"

pytestmark = needs("systemd-analyze")


def analyze(*words: str | Path) -> str:
    """Run systemd-analyze; what it prints."""
    program = find("systemd-analyze")
    assert program is not None
    run = subprocess.run(
        [program, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT * 2,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units with a program that this machine has; an instance of the template."""
    for path in UNITS.iterdir():
        name = path.name.replace("@.", "@8001.")
        (tmp_path / name).write_text(path.read_text().replace(VENV, sys.executable))
    return tmp_path


def test_systemd_accepts_the_units(units: Path) -> None:
    assert analyze("verify", *units.iterdir()) == ""


@pytest.mark.parametrize("name", ["dualws.service", "dualws@8001.service"])
def test_the_services_are_locked_in(units: Path, name: str) -> None:
    """systemd's own mark, from 0 (nothing allowed) to 10."""
    said = analyze("security", "--offline=true", "--no-pager", "--threshold=20", units / name)
    assert re.search(r"Overall exposure level for \S+: 1\.\d ", said), said


def test_the_two_services_differ_in_what_has_an_arbiter_and_their_addresses_only() -> None:
    one = (UNITS / "dualws.service").read_text().splitlines()
    each = (UNITS / "dualws@.service").read_text().splitlines()
    assert {line for line in one if line not in each} == {
        "# mysite on dualws: several processes on the socket that dualws.socket opens.",
        "Description=mysite",
        "Requires=dualws.socket",
        "Type=notify",
        "# As many workers as cores.",
        command(),
        "# systemctl reload: new workers with the new code, then the old ones drain.",
        "ExecReload=/bin/kill -HUP $MAINPID",
        # An arbiter hears of the stop when a reload that is under way is done.
        "# SIGTERM lets dualws finish: requests, then websockets within DUALWS_DRAIN_WINDOW "
        "(20 s), 30 s at",
        "# most. A reload that is under way waits as long for the old workers before it hears of "
        "the stop.",
        "TimeoutStopSec=75s",
    }
    assert command().replace("--workers 2", "--bind 127.0.0.1:%i") in each


def command() -> str:
    """The line of dualws.service that starts it."""
    return re.findall(r"^ExecStart=.*$", (UNITS / "dualws.service").read_text(), re.M)[0]


#: Denies memory that is written and then executed, as MemoryDenyWriteExecute= does, and goes on.
LOCKED_IN = """
import ctypes, os, sys
assert ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0
os.execvp(sys.argv[1], sys.argv[1:])
"""


@needs("systemd-socket-activate")
def test_the_service_serves_on_the_socket_of_systemd(backend: str, tmp_path: Path) -> None:
    """Its own command line, started by systemd's own program at the first connection."""
    line = command().removeprefix("ExecStart=").replace("mysite.wsgi", "support.draining_site")
    words = shlex.split(line.replace("--backend gevent", f"--backend {backend}"))
    assert words.pop(0) == VENV
    (port,) = free_ports(1)
    activate = find("systemd-socket-activate")
    assert activate is not None
    environ = server_environment(tmp_path, {})
    process = subprocess.Popen(
        [
            *(activate, "--listen", f"127.0.0.1:{port}"),
            *(f"--setenv={name}" for name in environ),
            *(sys.executable, "-c", LOCKED_IN, sys.executable, "-m", "dualws.serving.cli", *words),
        ],
        cwd=tmp_path,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    output = Output(process.stdout)
    try:
        assert output.wait_for("Listening on"), output.text()
        with eventually(lambda: RawClient(("127.0.0.1", port)), what="nobody listens") as client:
            client.send_request("GET", "/page/", ("Host", "example.com"))
            assert client.read_response().status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0, output.text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        output.wait_for_end()
