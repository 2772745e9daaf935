"""Results as plain data: what every report is made of, and the JSON report itself."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from typing import Any

from dualws_conformance.model import GROUPS
from dualws_conformance.runner import Result


def columns(results: Sequence[Result]) -> list[tuple[str, str]]:
    """The columns of the matrix: backend and style, in the order in which they came."""
    return list(dict.fromkeys((result.backend, result.style) for result in results))


def rows(results: Sequence[Result]) -> list[str]:
    """The rows of the matrix: the groups that ran."""
    ran = {result.case.group for result in results}
    return [group for group in GROUPS if group in ran]


def cell(results: Sequence[Result], group: str, column: tuple[str, str]) -> list[Result]:
    """The results of one cell of the matrix."""
    return [r for r in results if r.case.group == group and (r.backend, r.style) == column]


def as_json(results: Sequence[Result], seconds: float) -> str:
    """The whole run as a JSON document.

    :param seconds: how long it took
    """
    document: dict[str, Any] = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "seconds": round(seconds, 3),
        "cases": len({result.case.id for result in results}),
        "passed": sum(result.passed for result in results),
        "failed": sum(not result.passed for result in results),
        "results": [_result(result) for result in results],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _result(result: Result) -> dict[str, Any]:
    return {
        "id": result.case.id,
        "section": result.case.section,
        "title": result.case.title,
        "backend": result.backend,
        "style": result.style,
        "passed": result.passed,
        "seconds": round(result.seconds, 4),
        "failure": result.failure,
        "transcript": list(result.transcript),
    }
