"""Preparing a process for gevent: what is patched, adapted, and refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dualws_gevent.drivers import TOO_EARLY
from support.timing import TIMEOUT

PREPARE = "from dualws_gevent.backend import GeventBackend; GeventBackend.prepare()\n"


@pytest.fixture
def drivers(tmp_path: Path) -> Path:
    """A folder for modules that stand for drivers, first on the path of :func:`run`."""
    return tmp_path


def run(program: str, drivers: Path) -> str:
    """What a Python program prints, standard error included; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(drivers)!r})\n{program}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def module(folder: Path, name: str, text: str = "") -> None:
    """Write a module; dots in *name* make packages."""
    path = folder.joinpath(*name.split("."))
    path.parent.mkdir(parents=True, exist_ok=True)
    for package in path.relative_to(folder).parents:
        if package.name:
            (folder / package / "__init__.py").touch()
    path.with_suffix(".py").write_text(text)


def test_the_standard_library_is_patched_once(drivers: Path) -> None:
    program = (
        "import gevent.monkey\n"
        "calls = []; patch_all = gevent.monkey.patch_all\n"
        "gevent.monkey.patch_all = lambda: (calls.append(1), patch_all())\n"
        f"{PREPARE}{PREPARE}"
        "import socket, threading, ssl\n"
        "print(len(calls), socket.socket.__module__, gevent.monkey.is_module_patched('ssl'))\n"
        "print(sum(type(f).__name__ == 'DriverFinder' for f in sys.meta_path))\n"
    )
    assert run(program, drivers) == "1 gevent._socket3 True\n1\n"


@pytest.mark.parametrize("name", TOO_EARLY)
def test_what_came_too_early_is_refused_by_name(name: str, drivers: Path) -> None:
    module(drivers, name)
    program = (
        f"import {name}\n"
        "from dualws.errors import PreparedTooLate\n"
        f"from dualws_gevent.backend import GeventBackend\n"
        "try: GeventBackend.prepare()\n"
        "except PreparedTooLate as error: print(error)\n"
        "import gevent.monkey; print(gevent.monkey.is_module_patched('socket'))\n"
    )
    told = run(program, drivers)
    assert name in told
    assert "dualws serve" in told
    assert told.endswith("False\n"), "a refused process is not half prepared"


def test_early_modules_of_a_process_that_was_patched_are_welcome(drivers: Path) -> None:
    module(drivers, "psycopg")
    program = f"import gevent.monkey; gevent.monkey.patch_all(); import psycopg\n{PREPARE}"
    assert run(program, drivers) == ""


def test_nothing_is_imported_that_nobody_asked_for(drivers: Path) -> None:
    names = ("psycopg2", "psycopg", "pymysql", "MySQLdb", "django", "asgiref", "asyncio")
    program = f"{PREPARE}print([name for name in {names!r} if name in sys.modules])\n"
    assert run(program, drivers) == "[]\n"


def test_psycopg2_waits_in_gevent_through_psycogreen(drivers: Path) -> None:
    module(drivers, "psycopg2", "adapted = False")
    module(
        drivers,
        "psycogreen.gevent",
        "def patch_psycopg():\n    import psycopg2\n    psycopg2.adapted = True\n",
    )
    look = "print(psycopg2.adapted, type(psycopg2.__loader__).__name__)\n"
    assert run(f"{PREPARE}import psycopg2\n{look}", drivers) == "True SourceFileLoader\n"
    assert run(f"import psycopg2\n{PREPARE}{look}", drivers) == "True SourceFileLoader\n"


def test_psycopg2_without_psycogreen_is_warned_of(drivers: Path) -> None:
    module(drivers, "psycopg2")
    hide = "sys.meta_path.append(None); sys.meta_path.pop()\nsys.modules['psycogreen'] = None\n"
    told = run(f"{PREPARE}{hide}import psycopg2\n", drivers)
    assert "pip install psycogreen" in told


def test_pymysql_is_taken_for_mysqlclient(drivers: Path) -> None:
    module(drivers, "MySQLdb", "blocks = True")
    module(
        drivers,
        "pymysql",
        "import sys\n"
        "def install_as_MySQLdb():\n    sys.modules['MySQLdb'] = sys.modules[__name__]\n",
    )
    program = f"{PREPARE}import MySQLdb\nprint(MySQLdb.__name__)\n"
    assert run(program, drivers) == "pymysql\n"


def test_mysqlclient_without_pymysql_is_warned_of(drivers: Path) -> None:
    module(drivers, "MySQLdb", "blocks = True")
    hide = "sys.modules['pymysql'] = None\n"
    told = run(f"{PREPARE}{hide}import MySQLdb\nprint(MySQLdb.blocks)\n", drivers)
    assert "pip install" in told
    assert told.endswith("True\n")


def test_a_driver_that_is_not_installed_is_missed_as_ever(drivers: Path) -> None:
    hide = "sys.modules['pymysql'] = None; path = sys.path[:]; sys.path[:] = []\n"
    program = (
        f"{PREPARE}import importlib.util\n{hide}"
        "for name in ('MySQLdb', 'psycopg2'):\n"
        "    try: __import__(name)\n"
        "    except ModuleNotFoundError as error: print(error.name)\n"
        "sys.path[:] = path\n"
    )
    assert run(program, drivers) == "MySQLdb\npsycopg2\n"
