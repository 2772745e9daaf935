"""The programs of the guide's pages on the websocket and on testing, and the test of topics.

Law: what a page shows is what runs here, to the letter: its blocks begin with a comment that
names their file.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.backends import chosen
from testing.test_testing import django_tests, pytest_on

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide"
BLOCK = re.compile(r"^```python\n# (?P<name>\w+\.py)\n(?P<code>.*?)^```$", re.M | re.S)


@pytest.fixture
def guide(tmp_path: Path) -> Path:
    """A folder with the programs of the pages."""
    for page in ("websocket", "testing", "topics"):
        for block in BLOCK.finditer((GUIDE / f"{page}.md").read_text()):
            code = block["code"]
            if "tornado" not in chosen():
                code = code.replace('"tornado"', '"gevent"')
            (tmp_path / block["name"]).write_text(code)
    return tmp_path


def test_the_client(guide: Path) -> None:
    django_tests(guide, "guide_testing")


def test_topics(guide: Path) -> None:
    django_tests(guide, "guide_topics_tests")


def test_the_live_server(guide: Path) -> None:
    django_tests(guide, "guide_live")


def test_the_fixtures(guide: Path) -> None:
    output = pytest_on(guide, guide / "guide_fixtures.py", plugin=False, PYTHONPATH=path(guide))
    assert "3 passed" in output


def path(folder: Path) -> str:
    """Where the programs and the test project are."""
    return f"{folder}:{Path(__file__).resolve().parent.parent}"
