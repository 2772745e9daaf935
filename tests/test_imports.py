"""What importing a part brings along: nothing that a backend would have to patch or do without."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.backends import LIBRARIES, installed, missing
from support.server import server_environment
from support.timing import TIMEOUT

_REPORT = "import json, sys; sys.stdout.write(json.dumps(sorted(sys.modules)))"


def modules_after(statement: str, folder: Path) -> set[str]:
    """Top-level modules, and those of dualws in full, that *statement* leaves imported."""
    run = subprocess.run(
        [sys.executable, "-c", f"{statement}\n{_REPORT}"],
        cwd=folder,
        env=server_environment(folder, {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )
    assert run.returncode == 0, run.stderr
    names = json.loads(run.stdout)
    return {name if name.startswith("dualws") else name.partition(".")[0] for name in names}


@pytest.mark.parametrize(
    "module",
    [
        "dualws",
        "dualws.bootstrap",
        "dualws.contract",
        "dualws.errors",
        "dualws.pubsub",
        "dualws.registry",
        "dualws.serving.cli",
    ],
)
def test_the_core_imports_no_server_library_and_no_django(module: str, tmp_path: Path) -> None:
    imported = modules_after(f"import {module}", tmp_path)
    unwanted = {"gevent", "greenlet", "tornado", "uvloop", "django", "asgiref", "asyncio"}
    assert not imported & unwanted
    assert not {name for name in imported if name.startswith("dualws_")}


def test_importing_dualws_imports_nothing_else_of_it(tmp_path: Path) -> None:
    imported = modules_after("import dualws", tmp_path)
    assert {name for name in imported if name.startswith("dualws")} == {"dualws"}


def test_every_public_name_is_there() -> None:
    dualws = importlib.import_module("dualws")
    assert {name for name in dualws.__all__ if not hasattr(dualws, name)} == set()
    assert set(dualws.__all__) <= set(dir(dualws))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = dualws.no_such_name


def test_a_backend_imports_its_own_library_only(backend: str, tmp_path: Path) -> None:
    """Also once its server is imported, with which it accepts connections."""
    imported = modules_after(f"import dualws_{backend}.server", tmp_path)
    others = {name for pair in LIBRARIES.items() if pair[0] != backend for name in pair}
    assert not imported & others
    rooms = {name.partition(".")[0] for name in imported if name.startswith("dualws_")}
    assert rooms == {f"dualws_{backend}"}
    assert "django" not in imported


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_backend_is_loaded_or_says_how_to_get_it(name: str) -> None:
    """In the environments that have only one library the other one must be missed clearly."""
    registry = importlib.import_module("dualws.registry")
    errors = importlib.import_module("dualws.errors")
    if name in installed():
        assert registry.load(name).name == name
    else:
        with pytest.raises(errors.MissingLibrary, match=rf'pip install "dualws\[{name}\]"'):
            registry.load(name)


def test_serving_on_a_missing_backend_names_the_cure(tmp_path: Path) -> None:
    for name in missing():
        run = subprocess.run(
            [
                sys.executable,
                "-m",
                "dualws.serving.cli",
                "serve",
                "support.apps",
                "--backend",
                name,
            ],
            cwd=tmp_path,
            env=server_environment(tmp_path, {}),
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT,
        )
        assert run.returncode == 2
        assert f'pip install "dualws[{name}]"' in run.stderr
        assert "Traceback" not in run.stderr


def test_the_backends_are_registered_as_plugins() -> None:
    entries = importlib.metadata.entry_points(group="dualws.backends")
    found = {entry.name: entry.value for entry in entries if entry.name in LIBRARIES}
    assert found == {
        "gevent": "dualws_gevent.backend:GeventBackend",
        "tornado": "dualws_tornado.backend:TornadoBackend",
    }
