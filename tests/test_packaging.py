"""The tree and what is built from it."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from support.timing import TIMEOUT

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def tracked(*patterns: str) -> list[Path]:
    """Files of the tree that are, or are about to be, under version control."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    run = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / line for line in run.stdout.splitlines() if (ROOT / line).exists()]


def packages() -> list[str]:
    """The packages that the wheel is made of."""
    found: list[str] = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of the files in a wheel, built from a copy of the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("pyproject.toml", "README.md", "LICENSE", *packages()):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target)
    run = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT * 4,
    )
    assert run.returncode == 0, run.stderr
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        return set(archive.namelist())


def test_every_backend_and_the_kit_are_packaged() -> None:
    """A folder that pyproject.toml forgets would be missing from the wheel."""
    folders = {
        str(path.parent.relative_to(ROOT))
        for room in ("backends", "conformance")
        for path in (ROOT / room).glob("*/__init__.py")
    }
    assert folders == set(packages()) - {"dualws"}


def test_the_wheel_has_every_file_of_the_packages(wheel: set[str]) -> None:
    """Modules, templates, static files, the marker of types: all that is under version control."""
    for package in packages():
        parent = (ROOT / package).parent
        expected = {str(path.relative_to(parent)) for path in tracked(package)}
        assert expected, package
        assert expected - wheel == set()


def test_the_wheel_has_the_demo_whole(wheel: set[str]) -> None:
    kinds = {Path(name).suffix for name in wheel if name.startswith("dualws/demo/")}
    assert {".py", ".html", ".css", ".js"} <= kinds


def test_the_wheel_has_nothing_else(wheel: set[str]) -> None:
    tops = {name.partition("/")[0] for name in wheel}
    version = importlib.metadata.version("dualws")
    assert tops == {Path(package).name for package in packages()} | {f"dualws-{version}.dist-info"}
    assert not {name for name in wheel if "__pycache__" in name or name.endswith(".sqlite3")}


def test_the_version_is_the_same_everywhere() -> None:
    dualws = __import__("dualws")
    assert dualws.__version__ == PYPROJECT["project"]["version"]
    assert importlib.metadata.version("dualws") == PYPROJECT["project"]["version"]


def test_no_file_is_longer_than_500_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in tracked("*.py", "*.js", "*.css", "*.html", "scripts/*")
        if (count := len(path.read_text().splitlines())) > 500
    }
    assert long == {}


def test_every_module_opens_with_a_docstring() -> None:
    empty = [
        str(path.relative_to(ROOT))
        for path in tracked("*.py")
        if path.read_text().strip() and not re.match(r'(#!.*\n)?[ru]?"""', path.read_text())
    ]
    assert empty == []


def test_the_lock_file_of_npm_names_no_registry() -> None:
    """Whoever installs takes the packages from the registry that is configured there."""
    lock = json.loads((ROOT / "tests" / "node" / "package-lock.json").read_text())
    named = [name for name, package in lock["packages"].items() if "resolved" in package]
    assert named == []


def test_folders_of_tests_are_no_packages() -> None:
    """``tests`` is on the path: a package ``http`` in it would hide the library's."""
    found = [path.parent.name for path in (ROOT / "tests").glob("*/__init__.py")]
    assert found == ["support"]
