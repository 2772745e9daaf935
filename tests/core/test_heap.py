"""Memory that a message has needed is there for the next; the collector leaves alone what stays."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from support.program import python
from support.server import LiveServer

#: Page faults of messages of 1 MiB, one after the other, as a fresh process takes them.
_PROGRAM = """
import resource, sys
from dualws import bootstrap
bootstrap.prepare(sys.argv[1])
def message():
    data = b"x" * (1 << 20)
    return [data[1:], data[2:]]
for _ in range(4):
    message()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    message()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have other ways")
def test_large_messages_do_not_have_their_pages_made_anew(tmp_path: Path, backend: str) -> None:
    done = python(tmp_path, "-c", _PROGRAM, backend)
    faults = int(done.stdout)
    assert faults < 50 * 16, "each time it would be 768 pages"


def test_the_collector_does_not_look_at_what_was_imported(
    share_app: Callable[..., LiveServer],
) -> None:
    looked_at, frozen = share_app("support.apps").get_json("/collector")
    assert looked_at < frozen / 4


@pytest.mark.parametrize("chosen", ["", "before", "after"])
def test_the_collector_looks_at_all_less_often_unless_the_project_chose(
    tmp_path: Path, chosen: str
) -> None:
    lines = ["from dualws import heap", "own = gc.get_threshold()", "heap.freeze()"]
    if chosen:  # before dualws is imported, as in a configuration of gunicorn's, or after
        lines.insert(chosen == "after", "gc.set_threshold(900, 9, 8)")
    code = "\n".join(["import gc, json", *lines, "print(json.dumps([own, gc.get_threshold()]))"])
    own, now = json.loads(python(tmp_path, "-c", code).stdout)
    if chosen:
        assert now == [900, 9, 8]
    else:
        assert now[0] == own[0]
        assert math.prod(now) > 3 * 70_000
