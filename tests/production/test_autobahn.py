"""The script that runs the Autobahn test suite, where there is no CPython 2.7 to run it on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.timing import TIMEOUT

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
#: The script itself, with two of the groups that stand in.
RUN = (
    "import sys, autobahn_run\n"
    "autobahn_run.GROUPS = autobahn_run.GROUPS[:2]\n"
    "sys.argv[0] = 'autobahn_run.py'\n"
    "autobahn_run.main()\n"
)


def autobahn(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run it on a machine that has no Python 2.7: no program but this interpreter is found."""
    hidden = {"PATH": str(folder), "HOME": str(folder), "PYENV_ROOT": str(folder)}
    environ = {key: value for key, value in os.environ.items() if key != "DUALWS_PYTHON27"}
    return subprocess.run(
        [sys.executable, "-c", RUN, *words],
        cwd=folder,
        env={**environ, "PYTHONPATH": str(SCRIPTS), **hidden, **env},
        capture_output=True,
        text=True,
        timeout=8 * TIMEOUT,
        check=False,
    )


@pytest.mark.parametrize("named", [None, "python2.7", sys.executable])
def test_the_kits_own_cases_stand_in(tmp_path: Path, backend: str, named: str | None) -> None:
    env = {} if named is None else {"DUALWS_PYTHON27": named}
    done = autobahn(tmp_path, "--ci", "--backend", backend, **env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "There is no CPython 2.7" in done.stdout
    assert "websocket cases stand in" in done.stdout
    assert ("DUALWS_PYTHON27 names" in done.stdout) is (named is not None)
    for text in ("dualws conformance", "framing", "masking", " passed, "):
        assert text in done.stdout


def test_what_stands_in_can_fail(tmp_path: Path) -> None:
    done = autobahn(tmp_path, "--backend", "nonesuch")
    assert done.returncode == 2
    assert "There is no backend 'nonesuch'" in done.stderr
