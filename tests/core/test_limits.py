"""The settings of limits and their table, and the small things that they are counted with."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from dualws import checks, conf
from dualws.limits import refusals
from dualws.limits.counting import Account, Counter
from dualws.limits.deadline import Deadline
from dualws.limits.rates import Bucket

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "limits.md"
#: What a setting that limits something has in its name.
_WORDS = re.compile(r"^(max_|send_|ping_)|_timeout$|_rate$|_patience$")
#: Settings with such a name that are no limits of what clients may take.
_OTHERS = {"live_timeout", "tls_timeout", "handshake_timeout", "greeting_timeout"}


def test_the_table_has_every_limit_with_its_default() -> None:
    rows = re.findall(r"^\| `(DUALWS_\w+)` \| ([\d.]+)", PAGE.read_text(), re.M)
    table = dict(rows)
    assert len(table) == len(rows)
    for field in conf.fields():
        if _WORDS.search(field.name) and field.name not in _OTHERS:
            assert table.pop(field.setting) == str(field.default), field.setting
    assert not table


@pytest.mark.parametrize(
    ("given", "setting"),
    [
        ({"DUALWS_BODY_TIMEOUT": 0, "DUALWS_BODY_MIN_RATE": 5}, "DUALWS_BODY_MIN_RATE"),
        ({"DUALWS_RATE_PATIENCE": 5.0}, "DUALWS_RATE_PATIENCE"),
    ],
)
def test_limits_without_effect_are_said(given: dict[str, object], setting: str) -> None:
    ((name, _, cure),) = checks._without_effect(given)
    assert name == setting
    assert cure.startswith("Remove it")


def test_a_body_has_the_time_that_its_bytes_buy() -> None:
    deadline = Deadline(10, 100, now=0)
    assert deadline.at == 10
    deadline.received(200, now=5)
    assert deadline.at == 12
    deadline.received(1_000_000, now=6)
    assert deadline.at == 16
    assert Deadline(0, 100, now=0).at == math.inf
    idle = Deadline(10, 0, now=0)
    idle.received(1, now=9)
    assert idle.at == 19


def test_a_bucket_holds_a_second() -> None:
    bucket = Bucket(10, now=0)
    assert bucket.take(10) == 0
    assert bucket.take(5) == 0.5
    assert not bucket.fill(now=1)
    assert bucket.level == 5
    assert bucket.fill(now=100)
    assert bucket.level == 10


def test_who_has_left_is_not_kept() -> None:
    counter = Counter(2)
    assert [counter.enter("a"), counter.enter("a"), counter.enter("a")] == [True, True, False]
    assert counter.enter("b")
    for name in "aab":
        counter.leave(name)
    assert counter._counts == {}
    assert Counter(0).enter("a")


def test_the_account_tells_when_it_is_over_and_when_it_is_not() -> None:
    told: list[int] = []
    account = Account(100)
    account.changed = lambda: told.append(account.total)
    for size in (60, 60, -30, -50, -10, 40):
        account.add(size)
    assert told == [120, 90, 40]


def test_a_flood_of_refusals_is_one_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "_last", {})
    monkeypatch.setattr(refusals, "_unsaid", {})
    for _ in range(5):
        refusals.note("kind", "refused %s", "x")
    monkeypatch.setattr(refusals, "QUIET", 0.0)
    refusals.note("kind", "refused %s", "y")
    assert [record.getMessage() for record in caplog.records] == [
        "refused x",
        "refused y (and 4 more since the last such line)",
    ]
