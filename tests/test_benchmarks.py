"""The benchmark runs: one short turn, and messages went to and fro. Never how many."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.machine import needs
from support.timing import TIMEOUT

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the load needs epoll: Linux")


#: What the load is written in.
engines = pytest.mark.parametrize(
    ("engine", "name"), [pytest.param("c", "C", marks=needs("cc")), ("python", "Python")]
)


def bench(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=6 * TIMEOUT,
        env={**os.environ, **environ},
    )


def echo(tmp_path: Path, backend: str, *words: str, **environ: str) -> dict[str, object]:
    file = tmp_path / "run.json"
    name = f"dualws-{backend}"
    short = ("--rounds", "1", "--seconds", "0.2", "--warm-up", "0.1")
    done = bench("echo", "--servers", name, *short, "--json", str(file), *words, **environ)
    assert done.returncode == 0, done.stderr
    assert name in done.stdout
    run = json.loads(file.read_text())
    server: dict[str, object] = run["servers"][name]
    assert "dualws" in server["versions"]
    (turn,) = server["turns"]
    assert turn["messages"] > 0
    assert 0 < turn["p50"] <= turn["p99"] <= turn["slowest"]
    return turn


@engines
def test_messages_flow_through_a_view(tmp_path: Path, backend: str, engine: str, name: str) -> None:
    turn = echo(tmp_path, backend, "--connections", "4", "--engine", engine)
    assert turn["worst_share"] > 0
    assert turn["engine"] == name


def test_where_there_is_no_compiler_the_load_is_python(tmp_path: Path, backend: str) -> None:
    environ = {"XDG_CACHE_HOME": str(tmp_path), "CC": "no-such-compiler"}
    assert echo(tmp_path, backend, **environ)["engine"] == "Python"


@pytest.mark.parametrize("workload", ["pipelined", "1k", "64k", "1m"])
def test_every_workload_flows(tmp_path: Path, backend: str, workload: str) -> None:
    echo(tmp_path, backend, "--workload", workload, "--connections", "2")


def test_an_unknown_server_is_named_beside_the_known_ones() -> None:
    done = bench("echo", "--servers", "dualws-gevent,apache")
    assert done.returncode == 2
    assert "no server is called apache; there are dualws-gevent, dualws-tornado" in done.stderr
