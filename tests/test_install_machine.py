"""``scripts/install-machine`` on machines made of stand-ins: what it runs, and what it says."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.timing import TIMEOUT

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "install-machine"
#: Program -> Debian package
WANTED = {
    "cc": "gcc",
    "python3-config": "python3-dev",
    "curl": "curl",
    "ps": "procps",
    "node": "nodejs",
    "npm": "npm",
    "chromium": "chromium",
    "initdb": "postgresql",
    "mariadb-install-db": "mariadb-server",
    "nginx": "nginx",
    "haproxy": "haproxy",
    "openssl": "openssl",
    "systemd-analyze": "systemd",
}
PACKAGES = set(WANTED.values())

#: Writes down how it is called and, when it installs, makes what was wanted.
APT = """#!/bin/sh
echo "$*" >>"$MACHINE/calls"
case "$*" in *" install "*) for p in {programs}; do cp "$0" "$MACHINE/bin/$p"; done;; esac
"""


class Machine:
    """A machine with the script, the usual small tools, and the programs that it is given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        for tool in ("sh", "tr", "env", "mktemp", "cat", "rm", "cp", "flock"):
            if path := shutil.which(tool):
                (self.bin / tool).symlink_to(path)

    def add(self, name: str, text: str = "#!/bin/sh\n") -> None:
        """Put a program on it."""
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def add_apt(self) -> None:
        """Put a stand-in for apt-get on it."""
        self.add("apt-get", APT.format(programs=" ".join(WANTED)))

    def start(self) -> subprocess.Popen[str]:
        """Run the script."""
        return subprocess.Popen(
            ["sh", str(SCRIPT)],
            env={"PATH": str(self.bin), "MACHINE": str(self.folder)},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self) -> str:
        """Run the script to its end, which is always a good one; what it says."""
        process = self.start()
        said = process.communicate(timeout=TIMEOUT)[1]
        assert process.returncode == 0, said
        return said

    @property
    def calls(self) -> list[str]:
        """How apt-get was called."""
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine that lacks everything."""
    return Machine(tmp_path)


def test_a_machine_that_has_everything_is_left_alone(machine: Machine) -> None:
    for program in WANTED:
        machine.add(program)
    machine.add_apt()
    assert machine.run() == ""
    assert machine.calls == []


def test_root_installs_what_is_missing(machine: Machine) -> None:
    machine.add("id", "#!/bin/sh\necho 0\n")
    machine.add("curl")
    machine.add_apt()
    machine.run()
    update, install = machine.calls
    assert update.endswith(" update")
    assert " install --yes --no-install-recommends " in install
    assert set(install.split()) & PACKAGES == PACKAGES - {"curl"}
    assert machine.run() == ""


def test_two_at_once_install_once(machine: Machine) -> None:
    machine.add("id", "#!/bin/sh\necho 0\n")
    machine.add_apt()
    both = [machine.start(), machine.start()]
    for process in both:
        process.communicate(timeout=TIMEOUT)
    assert [process.returncode for process in both] == [0, 0]
    assert sum(" install " in call for call in machine.calls) == 1


def test_a_user_is_told_the_command(machine: Machine) -> None:
    machine.add("id", "#!/bin/sh\necho 1000\n")
    machine.add_apt()
    said = machine.run()
    assert machine.calls == []
    assert "apt-get install --no-install-recommends" in said
    assert all(package in said for package in PACKAGES)


def test_sudo_is_used_where_it_asks_for_no_password(machine: Machine) -> None:
    machine.add("id", "#!/bin/sh\necho 1000\n")
    machine.add("true")
    machine.add("sudo", '#!/bin/sh\n[ "$1" = -n ] && shift && exec "$@"\n')
    machine.add_apt()
    machine.run()
    assert len(machine.calls) == 2


def test_a_failed_installation_is_shown_and_ends_well(machine: Machine) -> None:
    """The tests that need the programs are the ones to fail."""
    machine.add("id", "#!/bin/sh\necho 0\n")
    machine.add("apt-get", "#!/bin/sh\necho no route to the mirror >&2\nexit 100\n")
    assert "no route to the mirror" in machine.run()


def test_elsewhere_the_names_are_told(machine: Machine) -> None:
    assert "chromium" in machine.run()


def test_the_script_can_be_run() -> None:
    assert os.access(SCRIPT, os.X_OK)
