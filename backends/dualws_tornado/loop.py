"""Which asyncio loop carries the server.

Law: uvloop where it is installed, asyncio's own otherwise; nothing else may depend on it.
"""

from __future__ import annotations

import asyncio
from importlib import metadata


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A new loop of the fastest kind that is installed."""
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
