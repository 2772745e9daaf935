"""A blackboard: views write what happened, cases read it over HTTP and wait for it.

Law: only ``threading`` is used, so that it works in threads and, patched, in greenlets.
"""

from __future__ import annotations

import threading
from collections import defaultdict

#: Seconds after which whoever waits gives up.
PATIENCE = 20.0

_changed = threading.Condition()
_notes: dict[str, list[object]] = defaultdict(list)
_released: dict[str, int] = defaultdict(int)


def note(key: str, what: object) -> None:
    """Write *what* (JSON) under *key*."""
    with _changed:
        _notes[key].append(what)
        _changed.notify_all()


def wait_for_notes(key: str, count: int) -> list[object]:
    """The notes under *key* once there are *count*, or after :data:`PATIENCE` seconds."""
    with _changed:
        _changed.wait_for(lambda: len(_notes[key]) >= count, PATIENCE)
        return list(_notes[key])


def release(key: str) -> None:
    """Let one that waits for *key*, now or later, go on."""
    with _changed:
        _released[key] += 1
        _changed.notify_all()


def wait_for_release(key: str) -> bool:
    """Wait for :func:`release`; False after :data:`PATIENCE` seconds."""
    with _changed:
        if not _changed.wait_for(lambda: _released[key] > 0, PATIENCE):
            return False
        _released[key] -= 1
        return True
