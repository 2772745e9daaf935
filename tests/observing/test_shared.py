"""Workers' figures in one folder: nothing is lost or counted twice, whoever comes or goes."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from dualws.observing import shared
from dualws.observing.figures import Figures
from dualws.observing.shared import Shared
from support.timing import QUIET, TIMEOUT


def test_who_begins_is_not_taken_for_who_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker adds up between the file of a new one and its lock."""
    first = Shared(str(tmp_path))
    make = shared.tempfile.mkstemp
    adding = threading.Thread(target=first.others)

    def make_slowly(*args: str) -> tuple[int, str]:
        made = make(*args)
        adding.start()
        adding.join(QUIET)
        return made

    monkeypatch.setattr(shared.tempfile, "mkstemp", make_slowly)
    second = Shared(str(tmp_path))
    adding.join(TIMEOUT)
    second.write(Figures({"a_total": 1}, {"b": 2}))
    seen = first.others()
    assert (seen.counters, seen.gauges) == ({"a_total": 1}, {"b": 2})


def test_last_figures_of_who_ends_meanwhile_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Shared(str(tmp_path)), Shared(str(tmp_path))
    second.write(Figures({"a_total": 1}))
    alive = shared._alive

    def ends_first(lock: Path) -> bool:
        if lock.with_suffix(".json").exists():
            second.leave(Figures({"a_total": 5}))
        return alive(lock)

    monkeypatch.setattr(shared, "_alive", ends_first)
    assert first.others().counters == {"a_total": 5}
    assert first.others().counters == {"a_total": 5}


def test_who_cannot_write_its_last_figures_has_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Shared(str(tmp_path)), Shared(str(tmp_path))
    second.write(Figures({"a_total": 1}, {"b": 2}))

    def fail(path: Path, what: object) -> None:
        raise OSError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(shared, "_write", fail)
        with pytest.raises(OSError, match="no space"):
            second.leave(Figures())
    seen = first.others()
    assert (seen.counters, seen.gauges) == ({"a_total": 1}, {})


def test_who_has_left_tells_of_all_with_itself_among_the_ended(tmp_path: Path) -> None:
    """A scrape may reach a worker that ends."""
    first, second = Shared(str(tmp_path)), Shared(str(tmp_path))
    first.write(Figures({"a_total": 1}, {"b": 2}))
    second.leave(Figures({"a_total": 5}, {"b": 3}))
    told_by_second = Figures({"a_total": 6}, {"b": 2})
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert second.others() == told_by_second
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert first.others() == Figures({"a_total": 5})
    assert second.others() == told_by_second


def test_who_lives_is_not_taken_for_a_file_that_nobody_wants(tmp_path: Path) -> None:
    """Temporary folders are cleaned of what is old."""
    worker = Shared(str(tmp_path))
    (lock,) = tmp_path.glob("*.lock")
    os.utime(lock, (0, 0))
    worker.write(Figures())
    assert lock.stat().st_mtime > time.time() - TIMEOUT
