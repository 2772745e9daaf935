"""Where a thread is, in words: for messages about handlers that do not answer."""

from __future__ import annotations

import sys
import sysconfig
import threading
import traceback
from pathlib import Path

_OURS = str(Path(__file__).resolve().parent.parent)
_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))


def position(thread: threading.Thread) -> str:
    """Innermost line of the project's own code that *thread* is in."""
    frame = sys._current_frames().get(thread.ident or 0)
    if frame is None:
        return "in a greenlet"
    stack = traceback.extract_stack(frame)
    own = [f for f in stack if not f.filename.startswith((_OURS, "<", *_LIBRARIES))]
    where = (own or stack)[-1]
    return f"in {where.name}(), {where.filename}:{where.lineno}: {where.line}"
