"""CPython 2.7, on which alone the suite runs, and an environment of its own for the suite."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

#: The suite and the last releases of what it needs that CPython 2.7 takes.
REQUIREMENTS = (
    "autobahntestsuite==25.10.1",
    "wsaccel==0.6.6",
    "ujson==2.0.3",
    "attrs==21.4.0",
    "Automat==22.10.0",
    "cffi==1.15.1",
)
#: Seconds that building the environment may take: wsaccel and others are compiled.
_BUILDING = 900


def find() -> str | None:
    """An interpreter that runs, None when the machine has none.

    ``DUALWS_PYTHON27`` names one; otherwise the path is searched, then pyenv's versions.
    """
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates = [
        os.environ.get("DUALWS_PYTHON27"),
        *sorted(map(str, root.glob("versions/2.7*/bin/python2.7")), reverse=True),
        shutil.which("python2.7"),
    ]
    return next((path for path in candidates if path and _is_27(path)), None)


def _is_27(path: str) -> bool:
    # A shim of pyenv's is there, and fails, where the version is not.
    code = "import sys, zlib, ssl; sys.stdout.write('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([path, "-c", code], capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout == b"2.7"


def environment(python: str, folder: Path) -> Path:
    """The ``bin`` folder of an environment with the suite; made when it is not there.

    :param python: the interpreter
    :param folder: where it is kept from one run to the next
    :raises subprocess.CalledProcessError: it cannot be made
    """
    complete = folder / "complete"
    wanted = "\n".join((python, *REQUIREMENTS))
    binaries = folder / "bin"
    if complete.exists() and complete.read_text() == wanted:
        return binaries
    shutil.rmtree(folder, ignore_errors=True)
    make = [sys.executable, "-m", "virtualenv", "--quiet", "-p", python, str(folder)]
    subprocess.run(make, check=True, timeout=_BUILDING)
    install = [str(binaries / "python"), "-m", "pip", "install", "--quiet", *REQUIREMENTS]
    environ = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1", PYTHONWARNINGS="ignore")
    subprocess.run(install, check=True, timeout=_BUILDING, env=environ)
    complete.write_text(wanted)
    return binaries
