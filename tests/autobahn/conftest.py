"""The scripts around the Autobahn test suite, and a suite that does what a test says.

``scripts``  imports one of them by name
``large``    the script that measures
``suite``    a :class:`FakeSuite`
``try_echo`` runs an echo of the scripts and talks to it
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from websockets.sync.client import connect

from support.backends import chosen
from support.timing import TIMEOUT

collect_ignore_glob = [] if "tornado" in chosen() else ["test_tornado_*.py"]

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"

#: As the suite prints and writes, on whatever Python.
_WSTEST = """
import json, pathlib, sys, time
plan = json.loads(pathlib.Path(__file__).with_name("plan.json").read_text())
spec = json.loads(pathlib.Path(sys.argv[-1]).read_text())
(server,) = spec["servers"]
for name in plan["begins"] or spec["cases"]:
    print(f"Running test case ID {name} for agent {server['agent']} from peer tcp4:1.2.3.4:5")
if plan["hangs"]:
    time.sleep(600)
if plan["report"] is not None:
    default = {"behavior": "OK", "behaviorClose": "OK", "duration": 100}
    cases = {name: {**default, **plan["report"].get(name, {})} for name in spec["cases"]}
    kept = {name: case for name, case in cases.items() if name not in plan["skips"]}
    report = {server["agent"]: kept}
    (pathlib.Path(spec["outdir"]) / "index.json").write_text(json.dumps(report))
"""


@dataclasses.dataclass
class FakeSuite:
    """The environment of a suite that finds what it is told to find.

    :param binaries: its ``bin``
    """

    binaries: Path

    def plan(
        self,
        report: dict[str, dict[str, object]] | None,
        *,
        skips: tuple[str, ...] = (),
        begins: tuple[str, ...] = (),
        hangs: bool = False,
    ) -> None:
        """Say what it does.

        :param report: what differs of a case from one that is OK; None writes no report
        :param skips: cases that it says nothing of
        :param begins: cases that it begins; all, if none
        :param hangs: it does not come to its end
        """
        words: dict[str, Any] = {"report": report, "skips": skips, "begins": begins, "hangs": hangs}
        (self.binaries / "plan.json").write_text(json.dumps(words))


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module


@pytest.fixture
def suite(tmp_path: Path) -> FakeSuite:
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (binaries / "python").symlink_to(sys.executable)
    (binaries / "wstest").write_text(_WSTEST)
    fake = FakeSuite(binaries)
    fake.plan({})
    return fake


@pytest.fixture
def large(scripts: Callable[[str], ModuleType]) -> ModuleType:
    return scripts("autobahn_large")


@pytest.fixture
def try_echo() -> Callable[[str], None]:
    def try_it(kind: str) -> None:
        command = [sys.executable, SCRIPTS / "autobahn_echoes.py", kind]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                url = "ws" + process.stdout.readline().strip().partition(" on http")[2]
                _talk(url)
            finally:
                process.kill()

    return try_it


def _talk(url: str) -> None:
    with connect(url, max_size=None, compression=None, open_timeout=TIMEOUT) as client:
        for size in (0, 100, 1000, 100_000, 16 * 1024 * 1024):
            for message in ("*" * size, bytes(size)):
                client.send(message)
                answer = client.recv(TIMEOUT)
                assert (type(answer), len(answer)) == (type(message), size)
        client.send(["*" * 1000] * 100)
        assert len(client.recv(TIMEOUT)) == 100_000
    assert client.close_code == 1000
