"""Threads that ``threading`` does not know, for handlers that block.

Law: such a thread leaves nothing behind, and whatever runs in it finds what it would find in a
``threading.Thread``, but for the name: ``current_thread()`` is a dummy there. A ``Thread``, its
bookkeeping, and waiting until it runs, cost more than all the rest of a thread's start.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
from collections.abc import Callable


def start_bare(function: Callable[[], object]) -> None:
    """Call *function*, which raises nothing, in a daemon thread of its own.

    :raises RuntimeError: the system refuses another thread
    """
    # In a list, so that nothing of it is left when the thread is forgotten.
    _thread.start_new_thread(_run, ([function],))


def _run(functions: list[Callable[[], object]]) -> None:
    trace, profile = threading.gettrace(), threading.getprofile()
    if trace is not None:
        sys.settrace(trace)
    if profile is not None:
        sys.setprofile(profile)
    try:
        functions.pop()()
    finally:
        _forget()


def _forget() -> None:
    """Undo ``current_thread()`` of the calling thread, as Python 3.13 does by itself.

    Those before it, which change no more, count the dummy for ever, and a child that is forked in
    its thread takes it for the main thread, and fails at the end.
    """
    if sys.version_info < (3, 13):
        # Private, and as it is in all of those versions.
        active: dict[int, threading.Thread] = threading._active  # type: ignore[attr-defined]
        if isinstance(active.get(threading.get_ident()), threading._DummyThread):
            del active[threading.get_ident()]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_forget)
