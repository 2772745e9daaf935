"""Programs for Node.js that tests drive, with packages from npm.

Law: the packages are those of the committed lock file, installed once for whoever needs them;
a script under ``tests/node`` says what it saw on its standard output.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from support.machine import CURE, find
from support.timing import TIMEOUT

FOLDER = Path(__file__).resolve().parent.parent / "node"


def install_packages() -> Path:
    """Make ``tests/node/node_modules`` what the lock file says; the folder.

    :raises AssertionError: npm is missing or failed
    """
    wanted = FOLDER / "package-lock.json"
    installed = FOLDER / "node_modules" / ".package-lock.json"
    with (FOLDER / ".install-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not installed.exists() or installed.stat().st_mtime < wanted.stat().st_mtime:
            npm = find("npm")
            assert npm is not None, f"npm is missing: {CURE}"
            run = subprocess.run(
                [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=FOLDER,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=TIMEOUT * 20,
            )
            assert run.returncode == 0, f"npm ci failed:\n{run.stdout}{run.stderr}"
            installed.touch()
    return FOLDER / "node_modules"


def run_script(
    script: str, *arguments: str, env: Mapping[str, str] | None = None, timeout: float = TIMEOUT * 4
) -> str:
    """What the script *script* of ``tests/node`` prints.

    :param env: more environment variables
    :param timeout: seconds
    :raises AssertionError: it failed; the text has all that it printed
    """
    install_packages()
    node = find("node")
    assert node is not None, f"node is missing: {CURE}"
    run = subprocess.run(
        [node, str(FOLDER / script), *arguments],
        cwd=FOLDER,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert run.returncode == 0, f"{script} failed:\n{run.stdout}{run.stderr}"
    return run.stdout
