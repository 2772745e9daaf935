"""Runs the tests that are written with ``dualws.testing``, as a project runs its own.

Django can be set up once in a process and with one project only, so each module is run by Django's
test runner, or by pytest, in a process of its own; its database is SQLite in memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.server import WARNINGS, server_environment
from support.timing import TIMEOUT

SETTINGS = "support.project.settings"
IN_PROCESS = [
    *("Turns", "Handshakes", "Exceptions", "Waiting", "Ends", "NoDatabase", "Committed"),
]


def python(folder: Path, *words: str, **env: str) -> str:
    """Run this Python in *folder*; what it printed. It must succeed."""
    environ = server_environment(folder, {"DJANGO_SETTINGS_MODULE": SETTINGS, **env})
    done = subprocess.run(
        [sys.executable, *(word for rule in WARNINGS for word in ("-W", rule)), *words],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=4 * TIMEOUT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def django_tests(folder: Path, *labels: str, **env: str) -> None:
    """Run tests with Django's runner; they must pass, and there must be some."""
    output = python(folder, "-m", "django", "test", *labels, **env)
    assert "\nOK\n" in output, output
    assert "Ran 0 tests" not in output


@pytest.mark.parametrize("name", IN_PROCESS)
def test_the_client_in_process(tmp_path: Path, name: str) -> None:
    django_tests(tmp_path, f"testing.inprocess.{name}")


@pytest.mark.parametrize("name", ["inprocess.Handshakes", "inprocess.Committed", "live"])
def test_sessions_and_users_may_be_loaded_together(tmp_path: Path, backend: str, name: str) -> None:
    people = ("django.contrib.sessions.middleware.Session", "dualws.auth_middleware.Authentication")
    settings = {"MIDDLEWARE": [f"{one}Middleware" for one in people]}
    env = {"DUALWS_TEST_SETTINGS": json.dumps(settings), "DUALWS_BACKEND": backend}
    django_tests(tmp_path, f"testing.{name}", **env)


def test_the_scenarios_in_process(tmp_path: Path) -> None:
    django_tests(tmp_path, "testing.scenarios.InProcess")


def test_the_scenarios_on_the_wire(tmp_path: Path, backend: str) -> None:
    django_tests(tmp_path, f"testing.scenarios.On{backend.title()}")


def test_live_servers(tmp_path: Path, backend: str) -> None:
    django_tests(tmp_path, "testing.live", DUALWS_BACKEND=backend)


def test_the_tools_in_parallel_processes(tmp_path: Path) -> None:
    """Forked children of the runner have none of its threads."""
    labels = [f"testing.inprocess.{name}" for name in ("Turns", "Ends", "Committed")]
    django_tests(tmp_path, *labels, "--parallel", "2")


def test_the_tools_in_a_process_that_is_prepared(tmp_path: Path, backend: str) -> None:
    """For gevent it is patched: threads are greenlets, for the tools as well."""
    labels = ["testing.scenarios.InProcess", f"testing.scenarios.On{backend.title()}"]
    start = ["-m", "dualws.bootstrap", "--backend", backend, "-m", "django", "test"]
    output = python(tmp_path, *start, *labels, "testing.live", DUALWS_BACKEND=backend)
    assert "\nOK\n" in output, output


def test_the_fixtures_of_pytest(tmp_path: Path, backend: str) -> None:
    output = pytest_on(tmp_path, "fixtures.py", DUALWS_BACKEND=backend)
    assert " passed" in output
    assert "skipped" not in output


def test_the_fixtures_without_settings(tmp_path: Path) -> None:
    environ = server_environment(tmp_path, {})
    done = run_pytest(tmp_path, environ, "fixtures.py")
    assert done.returncode != 0
    assert "DJANGO_SETTINGS_MODULE" in done.stdout


def test_models_at_the_top_of_a_test_file(tmp_path: Path) -> None:
    """Of an application that is the project's, found as pytest finds it: beside the file."""
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["dualws.testing.pytest_plugin"]\n')
    (tmp_path / "own_settings.py").write_text(
        "SECRET_KEY = 'x'\nINSTALLED_APPS = ['dualws', 'own']\n"
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}}\n"
        "DEFAULT_AUTO_FIELD = 'django.db.models.AutoField'\n"
    )
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "__init__.py").touch()
    (tmp_path / "own" / "models.py").write_text(
        "from django.db import models\n\nclass Note(models.Model):\n    pass\n"
    )
    (tmp_path / "test_own.py").write_text(
        "from own.models import Note\n\ndef test_none(websocket_client):\n"
        "    assert not Note.objects.exists()\n"
    )
    environ = server_environment(tmp_path, {"DJANGO_SETTINGS_MODULE": "own_settings"})
    done = run_pytest(tmp_path, environ, tmp_path / "test_own.py", plugin=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_settings_that_are_found_with_the_test_file(tmp_path: Path) -> None:
    """Without a conftest.py pytest adds the file's folder to the path when it collects it."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "own_settings.py").write_text(
        "SECRET_KEY = 'x'\nINSTALLED_APPS = ['dualws']\n"
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}}\n"
    )
    (site / "test_own.py").write_text("def test_one(websocket_client):\n    pass\n")
    environ = server_environment(tmp_path, {"DJANGO_SETTINGS_MODULE": "own_settings"})
    done = run_pytest(tmp_path, environ, site / "test_own.py")
    assert done.returncode == 0, done.stdout + done.stderr
    environ["DJANGO_SETTINGS_MODULE"] = "no_such_settings"
    done = run_pytest(tmp_path, environ, site / "test_own.py")
    assert done.returncode == 1
    assert "No module named 'no_such_settings'" in done.stdout


def pytest_on(folder: Path, file: str | Path, *, plugin: bool = True, **env: str) -> str:
    """Run a file of this folder with pytest, as a project of its own."""
    environ = server_environment(folder, {"DJANGO_SETTINGS_MODULE": SETTINGS, **env})
    done = run_pytest(folder, environ, file, plugin=plugin)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_pytest(
    folder: Path, environ: dict[str, str], file: str | Path, *, plugin: bool = True
) -> subprocess.CompletedProcess[str]:
    here = Path(__file__).parent
    options: list[str | Path] = ["-p", "no:cacheprovider", "--rootdir", folder]
    if plugin:
        options += ["-p", "dualws.testing.pytest_plugin"]
    rules = [word for rule in ("error", *WARNINGS[1:]) for word in ("-W", rule)]
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-c", os.devnull, *map(str, options)),
            *rules,
            str(here / file),
        ],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=4 * TIMEOUT,
    )
