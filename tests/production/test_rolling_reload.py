"""A reload under full load: nobody is cut off, nobody is forgotten, and it takes its window."""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from support.diary import Diary
from support.reconnecting import Crowd, Visitor
from support.timing import SCALE
from support.workers import Fleet

WEBSOCKETS = 2000
WINDOW = 10.0 * SCALE
SETTINGS = json.dumps({"ROOT_URLCONF": "support.project.draining", "DUALWS_DRAIN_WINDOW": WINDOW})


@pytest.fixture
def websockets() -> int:
    """How many this machine lets one process have, up to what is wanted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WEBSOCKETS * 2 + 500
    if soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        soft = allowed
    return min(WEBSOCKETS, (soft - 500) // 2)


def test_nobody_is_cut_off(backend: str, tmp_path: Path, websockets: int) -> None:
    diary = Diary(tmp_path)
    with Fleet(tmp_path, backend, env={"DUALWS_TEST_SETTINGS": SETTINGS}) as fleet:
        asyncio.run(_reload(fleet, diary, websockets))
        assert "Traceback" not in fleet.text()
        assert "aborted" not in fleet.text()


async def _reload(fleet: Fleet, diary: Diary, websockets: int) -> None:
    old = fleet.workers()
    crowd = Crowd(fleet.address, "/events/")
    await crowd.open(websockets)
    shares = Counter(crowd.served_by.values())
    assert set(shares) == old
    assert max(shares.values()) <= 1.3 * websockets / len(old), shares
    visitors = [
        Visitor(fleet.address, "/ping/", keep_alive=bool(number % 2)) for number in range(6)
    ]
    visits = [asyncio.create_task(visitor.visit()) for visitor in visitors]

    fleet.signal(signal.SIGHUP)
    await crowd.wait_for(
        lambda: len(crowd.served_by) == websockets and not old & set(crowd.served_by.values())
    )
    await crowd.wait_for(lambda: not fleet.workers() & old)
    # Exactly one goodbye for each: whoever came back early was not sent away a second time.
    assert crowd.codes == {1012: websockets}
    for visitor in visitors:
        visitor.leaving = True
    await asyncio.gather(*visits)
    assert [visitor.failures for visitor in visitors] == [[]] * len(visitors)
    assert all(visitor.answers > 20 for visitor in visitors)

    crowd.moments.clear()
    begin = time.monotonic()
    fleet.signal(signal.SIGTERM)
    await crowd.gone()
    assert await asyncio.to_thread(fleet.wait) == 0
    assert crowd.codes == {1012: 2 * websockets}
    assert crowd.moments[-1] - begin == pytest.approx(WINDOW, rel=0.1)
    # Evenly: in each fifth of the window about a fifth of them.
    fifths = Counter(int((moment - begin) / WINDOW * 5) for moment in crowd.moments)
    for fifth in range(5):
        assert fifths[fifth] == pytest.approx(websockets / 5, rel=0.3), fifths

    assert Counter(key for key, *_ in diary.told("closed")) == dict.fromkeys(crowd.keys, 1)
