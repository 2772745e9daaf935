"""The one constant that scales every timeout of the tests.

A slow or busy machine sets ``DUALWS_TEST_TIMEOUT_SCALE`` (default 1); no test has a number of
seconds of its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

SCALE = float(os.environ.get("DUALWS_TEST_TIMEOUT_SCALE", "1"))

#: How long anything that must happen may take, in seconds.
TIMEOUT = 15.0 * SCALE

#: How long to look before believing that something does not happen, in seconds.
QUIET = 0.3 * SCALE


def eventually(check: Callable[[], T], *, what: str, timeout: float = TIMEOUT) -> T:
    """Ask *check* until its answer is true, and return that answer.

    Only for what a process does not announce (memory, its end, a line of a log).

    :param what: said when it never happened
    :param timeout: seconds
    :raises AssertionError: *check* stayed false
    """
    end = time.monotonic() + timeout
    while True:
        answer = check()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"after {timeout:g} s: {what} (last answer: {answer!r})")
        time.sleep(0.02)
