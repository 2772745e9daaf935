"""Environments of the peers, made when they are first needed and kept under ``.peers``.

A folder is named after its requirements; delete it to have it made anew with newer versions.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from dualws.bench.contenders import Contender
from dualws.bench.errors import BenchmarkError

FOLDER = Path(__file__).resolve().parent / ".peers"
_COMPLETE = "complete"


def python_for(contender: Contender) -> str:
    """The interpreter that runs *contender*, with its environment made.

    :raises BenchmarkError: it cannot be installed
    """
    if not contender.requirements:
        return sys.executable
    digest = hashlib.sha256(repr((sys.version_info, contender.requirements)).encode()).hexdigest()
    first = contender.requirements[0].partition("==")[0].partition("[")[0]
    folder = FOLDER / f"{first}-{digest[:8]}"
    python = folder / "bin" / "python"
    if not (folder / _COMPLETE).exists():
        _make(folder, python, contender.requirements)
    return str(python)


def _make(folder: Path, python: Path, requirements: Sequence[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": ""},
    )
    if done.returncode:
        raise BenchmarkError(
            f"{', '.join(requirements)} cannot be installed: {done.stderr.strip()[-1000:]}\n"
            "Leave the server out with --servers, or make the package index reachable."
        )
    (folder / _COMPLETE).touch()
