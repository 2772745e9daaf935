"""What becomes of modules that are imported before the process is prepared: each is tried.

The process is patched behind the backend's back, as its check would refuse to.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from dualws_gevent.drivers import TOO_EARLY
from support.timing import TIMEOUT

#: Module -> a program that prints whether it came to harm, in a process that is patched.
HARM = {
    "django.db": """
from django.db import connections
def wrapper():
    gevent.sleep(0.01)
    return id(connections["default"])
jobs = [gevent.spawn(wrapper) for _ in range(3)]
gevent.joinall(jobs, raise_error=True)
print(len({job.value for job in jobs}) == 1)
""",
    "asgiref.sync": """
import asyncio
from asgiref.sync import async_to_sync, sync_to_async
homes, guests = {}, {}
ready = gevent.event.Event()
async def note(where, name):
    where[name] = asyncio.get_running_loop()
def view(name):
    # All of them are here now: whose loop is it that each finds?
    if len(homes) == 3:
        ready.set()
    assert ready.wait(TIMEOUT)
    async_to_sync(note)(guests, name)
async def main(name):
    await note(homes, name)
    await sync_to_async(view)(name)
jobs = [gevent.spawn(async_to_sync(main), name) for name in range(3)]
gevent.joinall(jobs, raise_error=True)
print(any(homes[name] is not guests[name] for name in range(3)))
""",
    "psycopg": """
import psycopg.waiting
# psycopg's wait in C stops the process; the others wait through the standard library.
print(psycopg.waiting.wait.__name__ == "wait_c")
""",
    "urllib3": """
import urllib3.util.ssl_
try:
    urllib3.util.ssl_.create_urllib3_context()
except RecursionError:
    print(True)
else:
    print(False)
""",
}

PATCH = f"""
TIMEOUT = {TIMEOUT}
import warnings
warnings.simplefilter("ignore")
import gevent, gevent.event, gevent.monkey
gevent.monkey.patch_all()
from dualws_gevent.backend import GeventBackend
GeventBackend.prepare()
"""
SETTINGS = """
from django.conf import settings
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
)
"""


def comes_to_harm(name: str, *, early: bool) -> bool:
    """Whether the module *name* does."""
    settings = SETTINGS if name == "django.db" else ""
    head = f"{settings}import {name}\n{PATCH}" if early else f"{PATCH}{settings}"
    done = subprocess.run(
        [sys.executable, "-c", head + HARM[name]],
        capture_output=True,
        text=True,
        timeout=2 * TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {"True\n": True, "False\n": False}[done.stdout]


def test_each_module_is_tried() -> None:
    assert HARM.keys() == TOO_EARLY.keys()


@pytest.mark.parametrize("name", TOO_EARLY)
def test_what_comes_too_early_comes_to_harm_and_nothing_else(name: str) -> None:
    # Harm may need two greenlets to meet: it is there when one attempt shows it.
    assert any(comes_to_harm(name, early=True) for _ in range(5))
    assert not comes_to_harm(name, early=False)
