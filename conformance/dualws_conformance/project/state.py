"""What the server process holds: memory, descriptors, threads, greenlets, websockets.

Law: numbers are taken after a collection, and one that cannot be had is None.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from pathlib import Path
from typing import Any


def measure(server: Any) -> dict[str, int | None]:
    """The process's holdings.

    :param server: ``environ["wsgi.server"]``
    """
    gc.collect()
    return {
        "pid": os.getpid(),
        "memory": _memory(),
        "descriptors": _descriptors(),
        "threads": _threads(),
        "greenlets": _greenlets(),
        "connections": len(server.connections),
    }


def _memory() -> int | None:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _descriptors() -> int | None:
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            return len(os.listdir(folder))
        except OSError:
            continue
    return None


def _threads() -> int:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return threading.active_count()


def _greenlets() -> int | None:
    module = sys.modules.get("greenlet")
    if module is None:
        return None
    return sum(
        isinstance(thing, module.greenlet) and not thing.dead and bool(thing)
        for thing in gc.get_objects()
    )
