"""asyncio in a process of greenlets: always in a real thread, never beside the hub.

Law: *no asyncio loop runs in the hub's thread*. asyncio keeps "the running loop" for each
thread, so there every greenlet would find itself inside it, and Django would refuse the
ORM to views that have nothing to do with it (``SynchronousOnlyOperation``).
"""

from __future__ import annotations

import asyncio

import gevent.monkey

_start_thread = gevent.monkey.get_original("_thread", "start_new_thread")
_allocate_lock = gevent.monkey.get_original("_thread", "allocate_lock")


def start_asyncio_thread() -> asyncio.AbstractEventLoop:
    """An asyncio loop that runs in a real thread until the process ends."""
    made: list[asyncio.AbstractEventLoop] = []
    ready = _allocate_lock()
    ready.acquire()

    def run() -> None:
        # Made here: its selector and its pipe belong to this thread.
        loop = asyncio.new_event_loop()
        made.append(loop)
        loop.call_soon(ready.release)
        loop.run_forever()

    _start_thread(run, ())
    ready.acquire()
    return made[0]
