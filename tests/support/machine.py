"""Programs of the machine that some tests drive, and what to do where one is missing.

Law: the only reason to skip a test is a program that this machine lacks, and the skip names the
cure. Under ``CI=true`` it is a failure instead.
"""

from __future__ import annotations

import os
import shutil

import pytest

#: Program -> the names it has on different systems.
PROGRAMS = {
    "curl": ("curl",),
    "node": ("node", "nodejs"),
    "npm": ("npm",),
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
}

CURE = "run scripts/install-machine as root"


def find(program: str) -> str | None:
    """Path of *program*, or None."""
    for name in PROGRAMS[program]:
        if path := shutil.which(name):
            return path
    return None


def needs(*programs: str) -> pytest.MarkDecorator:
    """Marks a test that drives *programs* (keys of :data:`PROGRAMS`)."""
    lacking = [program for program in programs if find(program) is None]
    reason = f"no {', '.join(lacking)} on this machine: {CURE}"
    strict = os.environ.get("CI", "").lower() == "true"
    return pytest.mark.skipif(bool(lacking) and not strict, reason=reason)
