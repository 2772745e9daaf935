"""A run of the suite is judged case by case, and told of while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from support.timing import QUIET, TIMEOUT, eventually

CASES = ("1.1.1", "7.1.6", "9.1.1")


@pytest.fixture
def begin(scripts: Callable[[str], ModuleType], suite: Any, tmp_path: Path) -> Callable[..., Any]:
    """Begins a run of :data:`CASES`."""

    def begin(seconds: float = TIMEOUT) -> Any:
        run = scripts("autobahn_suite").Run
        folder = tmp_path / "reports"
        return run(suite.binaries, "me", "ws://nowhere/", CASES, folder, seconds)

    return begin


def finished(run: Any) -> list[tuple[str, str]]:
    """The verdicts once it has come to its end."""
    eventually(lambda: not run.running, what="the suite still runs")
    return [(verdict.case, verdict.problem) for verdict in run.verdicts()]


def test_nothing_is_wrong_where_all_is_ok(begin: Callable[..., Any]) -> None:
    run = begin()
    assert finished(run) == []
    assert (run.begun, run.last) == (3, "9.1.1")
    assert run.seconds() == dict.fromkeys(CASES, 0.1)


@pytest.mark.parametrize("what", ["behavior", "behaviorClose"])
@pytest.mark.parametrize(
    "said", ["FAILED", "NON-STRICT", "UNIMPLEMENTED", "WRONG CODE", "UNCLEAN", "INFORMATIONAL"]
)
def test_nothing_but_ok_will_do(
    begin: Callable[..., Any], suite: Any, what: str, said: str
) -> None:
    suite.plan({"9.1.1": {what: said}})
    assert finished(begin()) == [("9.1.1", f"{what}: {said}")]


def test_the_informational_cases_may_be_informational_and_nothing_worse(
    begin: Callable[..., Any], suite: Any
) -> None:
    suite.plan({"7.1.6": {"behavior": "INFORMATIONAL", "behaviorClose": "INFORMATIONAL"}})
    assert finished(begin()) == []
    suite.plan({"7.1.6": {"behavior": "FAILED", "behaviorClose": "INFORMATIONAL"}})
    assert finished(begin()) == [("7.1.6", "behavior: FAILED")]


def test_a_case_that_the_suite_says_nothing_of_was_skipped(
    begin: Callable[..., Any], suite: Any
) -> None:
    suite.plan({}, skips=("1.1.1", "9.1.1"))
    assert finished(begin()) == [("1.1.1", "was skipped"), ("9.1.1", "was skipped")]


def test_an_earlier_runs_report_is_not_believed(begin: Callable[..., Any], suite: Any) -> None:
    assert finished(begin()) == []
    suite.plan(None)
    ((case, problem),) = finished(begin())
    assert case == "all"
    assert problem.startswith("the suite wrote no report; see ")
    assert "Running test case ID 9.1.1" in Path(problem.rpartition(" ")[2]).read_text()


def test_a_suite_that_hangs_is_ended_and_says_where(begin: Callable[..., Any], suite: Any) -> None:
    suite.plan({}, begins=CASES[:2], hangs=True)
    run = begin()
    eventually(lambda: run.begun == 2, what="no case has begun")
    assert run.running
    assert [(v.case, v.problem) for v in run.verdicts()] == [
        ("all", "the time limit came during case 7.1.6, number 2")
    ]
    assert not run.running


def test_a_run_is_over_when_its_time_is(begin: Callable[..., Any], suite: Any) -> None:
    suite.plan({}, hangs=True)
    run = begin(QUIET)
    eventually(lambda: not run.running, what="it goes on beyond its time")
    assert run.verdicts() != []


# -- what is told meanwhile ------------------------------------------------------------


class Watched:
    """A run that ends after some looks, two of which are a minute apart."""

    def __init__(self, agent: str, looks: int) -> None:
        self.agent, self.last, self.begun = agent, "3.2", 17
        self._looks = looks

    @property
    def running(self) -> bool:
        self._looks -= 1
        return self._looks >= 0


@pytest.fixture
def watch(scripts: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> Any:
    script = scripts("autobahn_run")
    clock = iter(range(0, 10_000, 16))
    time = SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda seconds: None)
    monkeypatch.setattr(script, "time", time)
    return script._watch


def test_where_the_runs_are_is_told_every_half_minute(
    watch: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    alive = SimpleNamespace(running=True)
    watch([Watched("gevent", 4), Watched("tornado", 1)], [alive])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["gevent is at 3.2 (17), tornado is at 3.2 (17)"] * 2


def test_a_server_that_ends_is_told_with_what_it_printed(
    watch: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    dead = SimpleNamespace(running=False, backend="gevent", errors="x" * 5000 + "the end")
    watch([Watched("gevent", 1_000_000)], [dead])
    said = capsys.readouterr().out
    assert said.startswith("The gevent server has ended:\n")
    assert said.endswith("xthe end\n")
    assert len(said) < 4100
