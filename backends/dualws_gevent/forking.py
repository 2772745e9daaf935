"""A patched process that forks workers, and the workers that come of it.

Law: *who serves nothing waits as an unpatched process does*. gunicorn's arbiter is patched when it
preloads the project, and its hub never runs: gevent's versions of fork, waitpid and signal
would leave the news of a child's end to that hub, its way to start programs would take that
news from whoever waits for it, and its close() would leave a descriptor to the hub. So the
arbiter gets the originals back, and each worker gevent's versions again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from types import ModuleType
from typing import Any

import gevent
from gevent.monkey import get_original

_WAITING: tuple[tuple[ModuleType, tuple[str, ...]], ...] = (
    (os, ("close", "fork", "forkpty", "posix_spawn", "posix_spawnp", "waitpid")),
    (signal, ("signal", "getsignal")),
    (
        subprocess,
        (
            *("Popen", "CompletedProcess", "call", "check_call", "check_output", "run"),
            # What Popen is made of.
            *("_fork_exec", "_use_posix_spawn", "_USE_POSIX_SPAWN"),
        ),
    ),
    (time, ("sleep",)),
)

_patched: list[tuple[ModuleType, str, Any]] = []


def before_fork() -> None:
    """Take the originals of what forks and waits."""
    for module, names in _WAITING:
        for name in names:
            if name in vars(module):
                _patched.append((module, name, getattr(module, name)))
                setattr(module, name, get_original(module.__name__, name))


def after_fork() -> None:
    """In a worker: undo :func:`before_fork`, and let the hub forget the process before."""
    for module, name, patched in _patched:
        setattr(module, name, patched)
    _patched.clear()
    gevent.reinit()
