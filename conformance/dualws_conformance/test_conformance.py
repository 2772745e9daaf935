"""What ``pytest --pyargs dualws_conformance`` collects; see :mod:`dualws_conformance.plugin`."""

from __future__ import annotations

from dualws_conformance.model import Case
from dualws_conformance.plugin import judge
from dualws_conformance.runner import Session


def test_case(
    conformance_run: tuple[str, Case, str], conformance_sessions: dict[str, Session]
) -> None:
    """The backend does what the case asks."""
    judge(conformance_sessions, *conformance_run)
