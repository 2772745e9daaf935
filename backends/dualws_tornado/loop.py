"""Which asyncio loop carries the server.

Law: uvloop where it is installed, asyncio's own otherwise; nothing else may depend on it.
Blocking code that its coroutines put into threads leaves no database connection there, and
does not hold up the end of the process.
"""

from __future__ import annotations

import asyncio
import os
from importlib import metadata

from dualws.executors import ReleasingThreads
from dualws_tornado.workers import Workers

#: Most threads for the blocking code of coroutines: as many as asyncio itself would use.
THREADS = min(32, (os.cpu_count() or 1) + 4)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A new loop of the fastest kind that is installed."""
    loop = _new_event_loop()
    workers = Workers(THREADS, 0, "dualws-async")
    loop.set_default_executor(ReleasingThreads(workers.submit))
    return loop


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def loop_name() -> str:
    """``uvloop VERSION`` or ``asyncio``."""
    try:
        return f"uvloop {metadata.version('uvloop')}"
    except metadata.PackageNotFoundError:
        return "asyncio"
