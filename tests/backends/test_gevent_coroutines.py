"""asyncio beside greenlets: where coroutines run, and where the blocking code that they start."""

from __future__ import annotations

import subprocess
import sys

from support.timing import TIMEOUT

PREPARE = """
from dualws_gevent.backend import GeventBackend; GeventBackend.prepare()
import asyncio, gevent, gevent.monkey, threading
from asgiref.sync import async_to_sync, sync_to_async
ident = gevent.monkey.get_original("_thread", "get_ident")
main = ident()

def inside_a_loop():
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
"""


def run(program: str) -> list[str]:
    """What a program prints in a prepared process; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-c", PREPARE + program],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout.splitlines()


def test_a_loop_is_seen_by_its_coroutines_only() -> None:
    assert run(
        """
seen = []

async def coroutine():
    seen.append(("coroutine", inside_a_loop(), ident() != main))
    await asyncio.sleep(0.05)

waiting = gevent.spawn(async_to_sync(coroutine))
while not seen:
    gevent.sleep(0.001)
seen.append(("greenlet beside it", inside_a_loop(), ident() != main))
waiting.get()
for line in seen:
    print(*line)
"""
    ) == ["coroutine True True", "greenlet beside it False False"]


def test_blocking_code_of_a_coroutine_returns_to_the_hub() -> None:
    program = """
def look():
    return inside_a_loop(), ident() == main

async def coroutine():
    print("own greenlet", *await sync_to_async(look)())
    print("any greenlet", *await sync_to_async(look, thread_sensitive=False)())
    print("to_thread", *await asyncio.to_thread(look))
    print("nested", await sync_to_async(lambda: async_to_sync(inner)())())

async def inner():
    return await sync_to_async(look)()

async_to_sync(coroutine)()
"""
    assert run(program) == [
        "own greenlet False True",
        "any greenlet False True",
        "to_thread False True",
        "nested (False, True)",
    ]


def test_without_a_greenlet_to_return_to_blocking_code_has_one_of_its_own() -> None:
    program = """
from dualws_gevent.runtime import Runtime
runtime = Runtime()
waiter = runtime.waiter()
local = threading.local()

def count():
    local.calls = getattr(local, "calls", 0) + 1
    return local.calls, inside_a_loop(), ident() == main

async def coroutine():
    for _ in range(2):
        print(*await sync_to_async(count)())
    waiter.wake()

runtime.run_coroutine(coroutine())
waiter.wait(10)
"""
    assert run(program) == ["1 False True", "2 False True"]


def test_exceptions_come_back() -> None:
    program = """
def fail():
    raise KeyError("from the greenlet")

async def coroutine():
    try:
        await sync_to_async(fail)()
    except KeyError as error:
        raise LookupError(*error.args) from error

try:
    async_to_sync(coroutine)()
except LookupError as error:
    print(type(error).__name__, *error.args)
"""
    assert run(program) == ["LookupError from the greenlet"]


def test_threads_are_used_again() -> None:
    program = """
used = set()

async def coroutine():
    used.add(ident())
    await asyncio.sleep(0.001)
    await sync_to_async(lambda: None)()

for _ in range(20):
    gevent.joinall([gevent.spawn(async_to_sync(coroutine)) for _ in range(5)], raise_error=True)
print(len(used) <= 10)
"""
    assert run(program) == ["True"]


def test_a_single_thread_context_keeps_its_thread() -> None:
    program = """
from asgiref.sync import AsyncSingleThreadContext
used = []

async def coroutine():
    used.append(ident())

with AsyncSingleThreadContext():
    for _ in range(3):
        async_to_sync(coroutine)()
        other = gevent.spawn(async_to_sync(asyncio.sleep), 0)
        other.get()
print(len(used), len(set(used)))
"""
    assert run(program) == ["3 1"]
