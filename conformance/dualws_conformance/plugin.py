"""The kit as pytest tests: each case on each backend and in each style is a test.

::

    pytest -p dualws_conformance.plugin --pyargs dualws_conformance --backend mine
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dualws_conformance.model import GROUPS, Case, select
from dualws_conformance.runner import Session, plan
from dualws_conformance.tls import Tls


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("dualws conformance")
    group.addoption(
        "--backend",
        action="append",
        default=[],
        dest="conformance_backends",
        metavar="NAME",
        help="backend that the conformance kit judges; may be repeated",
    )
    group.addoption(
        "--conformance-group",
        action="append",
        default=[],
        choices=GROUPS,
        dest="conformance_groups",
        help="only this group of the kit's cases; may be repeated",
    )
    group.addoption(
        "--conformance-quick",
        action="store_true",
        dest="conformance_quick",
        help="hundreds instead of thousands of leak checks",
    )
    group.addoption(
        "--conformance-tls",
        action="store_true",
        dest="conformance_tls",
        help="over TLS, with a certificate made for this run",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each case, backend and style.

    :raises pytest.UsageError: no backend was named
    """
    if "conformance_run" not in metafunc.fixturenames:
        return
    config = metafunc.config
    backends: list[str] = config.getoption("conformance_backends")
    if not backends:
        raise pytest.UsageError("say which backend the kit is to judge: --backend NAME")
    cases = select(config.getoption("conformance_groups"))
    runs = [(backend, case, style) for backend in backends for case, style in plan(cases)]
    metafunc.parametrize(
        "conformance_run",
        runs,
        ids=[f"{backend}-{style}-{case.id}" for backend, case, style in runs],
    )


@pytest.fixture(scope="session")
def conformance_sessions(request: pytest.FixtureRequest) -> Iterator[dict[str, Session]]:
    """A live server for each backend, kept for the whole run."""
    quick: bool = request.config.getoption("conformance_quick")
    backends: list[str] = request.config.getoption("conformance_backends")
    tls = Tls() if request.config.getoption("conformance_tls") else None
    sessions = {backend: Session(backend, quick=quick, tls=tls) for backend in backends}
    yield sessions
    for session in sessions.values():
        session.close()
    if tls is not None:
        tls.close()


def judge(sessions: dict[str, Session], backend: str, case: Case, style: str) -> None:
    """Run a case; a failure fails the test with its sentence and the bytes."""
    result = sessions[backend].run(case, style)
    if not result.passed:
        lines = (f"{case.section}: {case.title}", result.failure, *result.transcript)
        pytest.fail("\n".join(lines), pytrace=False)
