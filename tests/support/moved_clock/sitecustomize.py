"""Moves the wall clock of a whole process, where the folder of this file is on its path.

Law: Python imports this before anything else, so that whoever takes ``time.time`` by its name takes
the moved one too. The views of ``support.project.faults`` say by how much it goes wrong.
"""

from __future__ import annotations

import time

#: seconds
offset = [0.0]

_time, _time_ns = time.time, time.time_ns


def _moved() -> float:
    return _time() + offset[0]


def _moved_ns() -> int:
    return _time_ns() + int(offset[0] * 1e9)


time.time, time.time_ns = _moved, _moved_ns
