"""The benchmark runs: short turns, and messages went to and fro. Never how many."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from dualws.bench.contenders import APPS
from dualws.bench.workloads import WORKLOADS
from support.machine import needs
from support.timing import TIMEOUT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the load needs epoll: Linux")

SHORT = ("--rounds", "1", "--seconds", "0.2", "--warm-up", "0.1")


def bench(folder: Path, *words: str, **environ: str) -> dict[str, Any]:
    """Run ``dualws bench`` with *words*; what it wrote, by workload."""
    file = folder / "run.json"
    done = subprocess.run(
        [sys.executable, "-m", "dualws.serving.cli", "bench", *words, *SHORT, "--json", str(file)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=12 * TIMEOUT,
        env={**os.environ, **environ},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    runs: dict[str, Any] = json.loads(file.read_text())
    for run in runs.values():
        assert run["failures"] == {}
        for server in run["servers"].values():
            assert "dualws" in server["versions"]
            for turn in server["turns"]:
                assert turn["messages"] > 0
                latencies = turn["latencies"]
                assert 0 < turn["worst_share"] <= 1
                assert 0 < latencies["p50"] <= latencies["p99"] <= latencies["slowest"]
    return runs


@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_workload_flows(tmp_path: Path, backend: str, workload: str) -> None:
    name = f"dualws-{backend}"
    words = ("-w", workload, "--connections", "6", "--servers", name, "--plots", str(tmp_path))
    run = bench(tmp_path, "run", *words)[workload]
    (turn,) = run["servers"][name]["turns"]
    if workload.startswith("idle"):
        assert turn["memory_during"] > 0
        assert turn["messages"] == 6
    picture = ElementTree.parse(tmp_path / f"{workload}.svg")
    assert name in "".join(picture.getroot().itertext())


@pytest.mark.parametrize("workload", ["small", "fan-out"])
def test_every_style_takes_part(tmp_path: Path, backend: str, workload: str) -> None:
    styles = [f"dualws-{backend}{style}" for style in ("", "-async", "-events")]
    words = ("-w", workload, "--connections", "6", "--servers", ",".join(styles))
    assert list(bench(tmp_path, "run", *words)[workload]["servers"]) == styles


def test_people_may_be_loaded_together(tmp_path: Path, backend: str) -> None:
    name = f"dualws-{backend}-events"
    words = ("-w", "idle-signed-in", "--connections", "6", "--servers", name)
    for together, module in (
        ("0", "django.contrib.auth.middleware"),
        ("1", "dualws.auth_middleware"),
    ):
        run = bench(tmp_path, "run", *words, BENCHMARK_TOGETHER=together)["idle-signed-in"]
        assert run["servers"][name]["turns"][0]["messages"] == 6
        environ = {"BENCHMARK_TOGETHER": together, "BENCHMARK_FOLDER": ".", "PYTHONPATH": str(APPS)}
        shown = subprocess.check_output(
            [sys.executable, "-c", "import dualws_site.settings as s; print(s.MIDDLEWARE[-1])"],
            env={**os.environ, **environ},
            text=True,
        )
        assert shown == f"{module}.AuthenticationMiddleware\n"


@needs("cc")
def test_where_there_is_a_compiler_the_load_is_c(tmp_path: Path, backend: str) -> None:
    runs = bench(tmp_path, "run", "--servers", f"dualws-{backend}", "--connections", "4")
    (turn,) = runs["small"]["servers"][f"dualws-{backend}"]["turns"]
    assert turn["engine"] == "C"


def test_where_there_is_no_compiler_the_load_is_python(tmp_path: Path, backend: str) -> None:
    environ = {"XDG_CACHE_HOME": str(tmp_path), "CC": "no-such-compiler"}
    words = ("--servers", f"dualws-{backend}", "--connections", "4")
    runs = bench(tmp_path, "run", *words, **environ)
    (turn,) = runs["small"]["servers"][f"dualws-{backend}"]["turns"]
    assert turn["engine"] == "Python"


def test_a_curve_has_a_run_for_each_point(tmp_path: Path, backend: str) -> None:
    name = f"dualws-{backend}"
    words = ("curve", "size", "--most", "4096", "--servers", name, "--plots", str(tmp_path))
    assert list(bench(tmp_path, *words)) == ["16", "256", "4096"]
    picture = ElementTree.parse(tmp_path / "curve-size.svg")
    assert name in "".join(picture.getroot().itertext())
