"""The kit catches what it is for: a backend from another distribution, whole and broken.

The whole one is the example of plain threads, found by its name alone; the broken ones are
``support.mutants``. Each mutant meets the group of cases that must catch it.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from pathlib import Path

import pytest

from dualws_conformance import model
from dualws_conformance.runner import Result, run
from support.distributions import install
from support.timing import SCALE

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "threaded_backend"

#: mutant -> the group that must catch it, and a case of it that must fail
CAUGHT = {
    "shares_context": ("context", "context/same-connection"),
    "takes_bare_lf": ("smuggling", "smuggling/only-lf"),
    "drops_early_bytes": ("early", "early/message"),
    "delivers_twice": ("masking", "masking/key-zero"),
    "forgets_buffer": ("flow", "flow/slow-reader"),
    "never_pauses": ("flow", "flow/bounded-inbox"),
    "hides_the_end": ("server", "server/nothing-left"),
    "loses_timers": ("keepalive", "keepalive/pinged"),
    "skips_close": ("wsgi", "wsgi/one-thread"),
    "sends_body_to_head": ("http", "http/head"),
    "splits_responses": ("wsgi", "wsgi/fails-split"),
    "keeps_underscores": ("environ", "environ/underscore-dropped"),
    "leaks_descriptors": ("leaks", "leaks/connects-10000"),
    "leaks_memory": ("leaks", "leaks/connects-10000"),
    "says_no_goodbye": ("shutdown", "shutdown/websockets-sigterm"),
}


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example and the mutants, as an installer would leave them."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    folder = tmp_path / "installed"
    install(
        folder,
        project["name"],
        version=project["version"],
        requires=project["dependencies"],
        backends={
            **project["entry-points"]["dualws.backends"],
            "mutant": "support.mutants:MutantBackend",
        },
    )
    path = os.pathsep.join(map(str, (folder, EXAMPLE, ROOT / "tests")))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("DUALWS_MUTANT", "none")


def sentences(results: list[Result]) -> str:
    """What the kit says of the failures."""
    return "\n".join(
        f"{r.case.id} ({r.style}): {r.failure}\n" + "\n".join(t[:200] for t in r.transcript[:6])
        for r in results
        if not r.passed
    )


def test_the_example_passes_the_whole_kit() -> None:
    results = run(["threads"], model.select(), quick=True)
    assert all(result.passed for result in results), sentences(results)
    assert len(results) > 1700


def test_the_example_leaks_nothing_in_ten_thousand_times() -> None:
    """In one style: the others differ in what is dualws's own, not the backend's."""
    cases = [
        dataclasses.replace(case, styles=case.styles[:1])
        for case in model.select(["leaks"])
        if case.name.endswith("-10000")
    ]
    results = run(["threads"], cases)
    assert all(result.passed for result in results), sentences(results)
    assert len(results) == 2


@pytest.mark.parametrize("mutant", CAUGHT)
def test_a_mutant_is_caught(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALWS_MUTANT", mutant)
    # Most of them are caught by what never comes.
    monkeypatch.setattr("dualws_conformance.wire.TIMEOUT", 2.0 * SCALE)
    group, name = CAUGHT[mutant]
    results = run(["mutant"], chosen(group, name), quick=True)
    caught = [result for result in results if not result.passed]
    assert name in {result.case.id for result in caught}, sentences(results)
    for result in caught:
        assert len(result.failure) > 20
        assert result.failure.count("\n") == 0


def chosen(group: str, name: str) -> list[model.Case]:
    """The group's cases; of those that wait for what a mutant never does, the one that counts.

    In one style: a mutant breaks what is below all of them.
    """
    cases = [
        dataclasses.replace(case, styles=case.styles[:1]) for case in model.select([group, "early"])
    ]
    early = [case for case in cases if case.group == "early"]
    if group == "early":
        return early
    cases = [case for case in cases if case.group == group]
    if group in ("keepalive", "shutdown", "flow", "limits", "wsgi", "leaks"):
        return [case for case in cases if case.id == name]
    if group == "server":
        return [*early, *(case for case in cases if case.id == name)]
    return cases
