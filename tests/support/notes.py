"""What the applications under test remember, and where they wait for the test.

Law: a test learns what happened in the server, and decides when it goes on, by requests to the
same server (``/notes/``, ``/release/``), never by sleeping. Lives in the server's process only.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any

from support.timing import TIMEOUT

_changed = threading.Condition()
_notes: defaultdict[str, list[Any]] = defaultdict(list)
_releases: defaultdict[str, int] = defaultdict(int)


def note(key: str, what: Any) -> None:
    """Remember *what* (something for JSON) under *key*."""
    with _changed:
        _notes[key].append(what)
        _changed.notify_all()


def noted(key: str) -> list[Any]:
    """What has been remembered under *key* so far."""
    with _changed:
        return list(_notes[key])


def wait_for_notes(key: str, count: int) -> list[Any]:
    """Wait until *count* things are remembered under *key*; fewer are returned after a while."""
    with _changed:
        _changed.wait_for(lambda: len(_notes[key]) >= count, TIMEOUT / 3)
        return list(_notes[key])


def release(key: str) -> None:
    """Let one :func:`wait_for_release` of *key* go on."""
    with _changed:
        _releases[key] += 1
        _changed.notify_all()


def wait_for_release(key: str) -> None:
    """Wait for :func:`release`.

    :raises TimeoutError: it did not come
    """
    with _changed:
        if not _changed.wait_for(lambda: _releases[key] > 0, TIMEOUT):
            raise TimeoutError(f"nobody released {key!r}")
        _releases[key] -= 1


def identity() -> int:
    """The thread that runs this, or the greenlet where threads are patched to be greenlets."""
    return threading.get_ident()
