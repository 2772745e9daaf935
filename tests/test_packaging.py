"""The tree and what is built from it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from dataclasses import dataclass
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


@dataclass
class Built:
    """A wheel: its name, the names of its files, and what was said while it was built."""

    name: str
    files: set[str]
    said: str


def build(folder: Path, **env: str) -> Built:
    """A wheel of a copy of the tree."""
    source = folder / "source"
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", *packages()):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            others = shutil.ignore_patterns("__pycache__", "*.so")
            shutil.copytree(ROOT / name, target, ignore=others)
        else:
            shutil.copy(ROOT / name, target)
    kept = {name: value for name, value in os.environ.items() if name != "DUALWS_PURE_PYTHON"}
    run = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=source,
        env={**kept, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=TIMEOUT * 4,
    )
    assert run.returncode == 0, run.stdout
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        return Built(built.name, set(archive.namelist()), run.stdout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of the files in a wheel."""
    return build(tmp_path_factory.mktemp("wheel"), DUALWS_PURE_PYTHON="1").files


@pytest.mark.skipif(
    not os.environ.get("CI") and shutil.which("cc") is None, reason="there is no C compiler"
)
def test_the_hot_path_is_compiled_into_a_wheel(tmp_path: Path) -> None:
    built = build(tmp_path)
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    assert f"dualws/hot/_compiled{suffix}" in built.files, built.said
    assert not built.name.endswith("none-any.whl")


@pytest.mark.parametrize("compiler", ["/nowhere/cc", "false"])
def test_without_a_compiler_the_wheel_is_one_for_every_platform(
    tmp_path: Path, compiler: str
) -> None:
    built = build(tmp_path, CC=compiler)
    assert built.name.endswith("py3-none-any.whl")
    assert not [name for name in built.files if name.endswith(".so")]
    assert "without its compiled hot path" in built.said
    assert "install a C compiler" in built.said


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
        expected = {name for name in expected if Path(name).suffix not in (".c", ".h")}
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
        for path in tracked("*.py", "*.c", "*.h", "*.js", "*.css", "*.html", "scripts/*")
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
