"""Runs ``pages.py`` and ``talk.py`` with Django's runner, and Django's checks, on the demo."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.server import server_environment
from support.timing import TIMEOUT

CLASSES = [
    *("pages.SignInTests", "pages.RoomTests", "pages.MessageTests", "pages.PresenceTests"),
    "talk.TalkTests",
]


def django(folder: Path, *words: str) -> str:
    """Run ``django-admin`` on the demo's settings in *folder*; what it printed."""
    environ = server_environment(folder, {"DUALWS_DEMO_FOLDER": str(folder)})
    command = [sys.executable, "-W", "error", "-m", "django", *words]
    done = subprocess.run(
        [*command, "--settings", "dualws.demo.settings"],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=4 * TIMEOUT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", CLASSES)
def test_pages(tmp_path: Path, name: str) -> None:
    output = django(tmp_path, "test", f"demo.{name}")
    assert "\nOK\n" in output
    assert "Ran 0 tests" not in output


def test_the_project_has_no_problem_and_no_missing_migration(tmp_path: Path) -> None:
    django(tmp_path, "check", "--fail-level", "WARNING")
    assert "No changes" in django(tmp_path, "makemigrations", "--check", "--dry-run")
