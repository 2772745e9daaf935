"""The measurement itself, which is taken beside Tornado."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner


@pytest.fixture
def measure(
    large: Any, suite: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Any]:
    """Measures one round with the fake suite."""
    monkeypatch.setattr(large.python27, "find", lambda: "python2.7")
    monkeypatch.setattr(large.python27, "environment", lambda python, folder: suite.binaries)
    monkeypatch.setattr(large.suite, "cases", lambda *_: ["1.1.1", "9.1.1", "9.2.1"])

    def measure(*words: str) -> Any:
        return CliRunner().invoke(large.main, ["--rounds", "1", "--cache", str(tmp_path), *words])

    return measure


def test_tornados_own_answers_as_much_as_was_sent(try_echo: Callable[[str], None]) -> None:
    try_echo("tornado")


def test_everybody_is_measured(
    large: Any, backend: str, measure: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "large.json"
    done = measure("--backend", backend, "--json", str(file))
    names = [f"{backend}, {style}" for style in large.STYLES]
    # With a suite that does nothing nobody takes any time, which proves nothing.
    assert done.exit_code == 1, done.output
    assert done.output.rstrip().endswith(f"More than half: {'; '.join(names)}")
    written = json.loads(file.read_text())
    assert list(written) == [large.OWN, large.LEAST, *names]
    for one in written.values():
        assert [turn["elapsed"] for turn in one] == [{"9.1.1": 0.1, "9.2.1": 0.1}]


def test_a_case_that_is_not_ok_ends_it(
    backend: str, measure: Callable[..., Any], suite: Any
) -> None:
    suite.plan({"9.2.1": {"behavior": "FAILED"}})
    done = measure("--backend", backend)
    assert done.exit_code == 1
    assert "tornado's own: its figures would say nothing: 9.2.1 behavior: FAILED" in done.output


def test_it_says_what_it_needs(
    large: Any, measure: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large.python27, "find", lambda: None)
    done = measure()
    assert done.exit_code == 1
    assert "There is no CPython 2.7" in done.output
