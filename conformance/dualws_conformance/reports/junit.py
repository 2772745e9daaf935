"""The JUnit report, as continuous integration servers read it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

from dualws_conformance.reports.data import columns
from dualws_conformance.runner import Result

#: What XML 1.0 cannot hold.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_junit(results: Sequence[Result], seconds: float) -> str:
    """The run as XML, a suite for each backend and style.

    :param seconds: how long it took
    """
    failed = sum(not result.passed for result in results)
    root = ElementTree.Element(
        "testsuites", tests=str(len(results)), failures=str(failed), time=f"{seconds:.3f}"
    )
    for backend, style in columns(results):
        own = [r for r in results if (r.backend, r.style) == (backend, style)]
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=f"{backend}.{style}",
            tests=str(len(own)),
            failures=str(sum(not result.passed for result in own)),
            time=f"{sum(result.seconds for result in own):.3f}",
        )
        for result in own:
            element = ElementTree.SubElement(
                suite,
                "testcase",
                classname=f"{backend}.{style}.{result.case.group}",
                name=f"{result.case.name} ({result.case.section})",
                time=f"{result.seconds:.3f}",
            )
            if not result.passed:
                failure = ElementTree.SubElement(element, "failure", message=_text(result.failure))
                failure.text = _text("\n".join((result.case.title, *result.transcript)))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _text(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
