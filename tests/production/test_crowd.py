"""The measurement that the page on capacity names: it runs on both backends and tells figures."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.timing import TIMEOUT

ROOT = Path(__file__).resolve().parents[2]

if sys.platform == "linux":

    @pytest.mark.parametrize("path", ["/echo/", "/async/echo/", "/events/echo/"])
    def test_a_small_crowd(backend: str, path: str) -> None:
        size = ("--crowd", "60", "--active", "10", "--rounds", "1", "--seconds", "0.3")
        run = subprocess.run(
            [sys.executable, "-m", "benchmarks.crowd", "--backend", backend, "--path", path, *size],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT * 4,
        )
        assert run.returncode == 0, run.stderr
        assert re.search(r"^60 websockets: -?[\d.]+ KiB each, \d+ handshakes/s$", run.stdout, re.M)
        for share in ("p50", "p99"):
            figures = re.search(
                rf"^{share}: ([\d.]+) ms alone, ([\d.]+) ms in the crowd, ratio [\d.]+$",
                run.stdout,
                re.M,
            )
            assert figures is not None, run.stdout
            assert float(figures[1]) > 0 < float(figures[2])
