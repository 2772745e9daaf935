"""System checks of the ``DUALWS_`` settings, run by ``manage.py check`` and ``superserver``.

Law: *everything that can be wrong in the settings is said before the first request*.

==== =====================================================================
E001 no such setting
E002 a setting of the wrong type
E003 a setting out of its range, or an origin that is none
E004 DUALWS_BACKEND names a backend that is not installed, or whose library is not
E005 settings that are wrong together
W001 with ``--deploy``: DUALWS_ALLOWED_ORIGINS admits every site
W002 gevent, and a database driver that stops all greenlets while a query runs
W003 gevent, and CONN_MAX_AGE keeps as many database connections as requests ever ran at once
W004 with ``--deploy``: DEBUG is on; a websocket's handler would collect queries for hours
W005 a setting that has no effect beside another one
W006 several workers, and topics that each of them keeps to itself
==== =====================================================================
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core import checks

from dualws import bootstrap, conf, pubsub, registry

_IDS = {
    "unknown": "dualws.E001",
    "type": "dualws.E002",
    "value": "dualws.E003",
    "together": "dualws.E005",
}


def register() -> None:
    """Make Django run the checks of this module."""
    checks.register(check_settings, "dualws")
    checks.register(check_backend, "dualws")
    checks.register(check_effects, "dualws")
    checks.register(check_drivers, "dualws", checks.Tags.compatibility)
    checks.register(check_connection_age, "dualws", checks.Tags.compatibility)
    checks.register(check_workers, "dualws")
    checks.register(check_origins, "dualws", checks.Tags.security, deploy=True)
    checks.register(check_debug, "dualws", checks.Tags.security, deploy=True)


def check_settings(**kwargs: Any) -> list[checks.CheckMessage]:
    """Unknown names, wrong types and impossible values."""
    return [
        checks.Error(problem.message, hint=problem.cure, id=_IDS[problem.kind])
        for problem in conf.problems(conf.given_settings(settings))
    ]


def check_backend(**kwargs: Any) -> list[checks.CheckMessage]:
    """The backend is installed, and its library. Nothing is imported, only looked for."""
    setting = getattr(settings, "DUALWS_BACKEND", None)
    variable = os.environ.get(bootstrap.VARIABLE)
    return [
        checks.Error(f"{where}: {what}.", hint=hint, id="dualws.E004")
        for where, name in (
            ("DUALWS_BACKEND", setting),
            (f"The environment variable {bootstrap.VARIABLE}", variable),
        )
        if isinstance(name, str) and name
        for what, hint in _not_installed(name, chosen=name == (variable or setting))
    ]


def _not_installed(name: str, *, chosen: bool) -> Iterator[tuple[str, str]]:
    """What the backend *name* lacks, and the cure; its library, when it is the one to be used."""
    if name not in registry.names():
        installed = ", ".join(registry.usable_names()) or "none"
        yield f"no backend {name!r}", f"Installed backends: {installed}."
        return
    # A process that is prepared has a backend, this one or that of its --backend.
    command = registry.missing(name) if chosen and bootstrap.prepared() is None else None
    if command is not None:
        yield f"the library of the backend {name!r} is not installed", f"Install it: {command}"


def check_origins(**kwargs: Any) -> list[checks.CheckMessage]:
    """``*`` lets any web page open websockets with a visitor's cookies."""
    if "*" not in getattr(settings, "DUALWS_ALLOWED_ORIGINS", ()):
        return []
    return [
        checks.Warning(
            "DUALWS_ALLOWED_ORIGINS contains '*': any site may open websockets as its visitors.",
            hint="List the sites that may, for example https://example.com.",
            id="dualws.W001",
        )
    ]


def check_debug(**kwargs: Any) -> list[checks.CheckMessage]:
    """With DEBUG Django keeps every query until the next request, which a handler has not."""
    if not settings.DEBUG:
        return []
    return [
        checks.Warning(
            "DEBUG is on: errors show the source to visitors, and each websocket's handler "
            "keeps the queries it has made.",
            hint="Set DEBUG = False in production.",
            id="dualws.W004",
        )
    ]


def check_drivers(**kwargs: Any) -> list[checks.CheckMessage]:
    """Under gevent a driver must wait cooperatively. Drivers are looked for, not imported."""
    if _backend() != "gevent":
        return []
    return [
        checks.Warning(
            f"DATABASES[{alias!r}]: {driver} stops all greenlets while a query runs.",
            hint=cure,
            id="dualws.W002",
        )
        for alias, database in settings.DATABASES.items()
        for driver, cure in _blocking_driver(database.get("ENGINE", ""))
    ]


def check_connection_age(**kwargs: Any) -> list[checks.CheckMessage]:
    """Threads are few, and keep few connections; greenlets have no such limit."""
    if _backend() != "gevent":
        return []
    return [
        checks.Warning(
            f"DATABASES[{alias!r}]: CONN_MAX_AGE keeps as many connections as requests ever use "
            "at a time, and gevent does not limit those.",
            hint="See that the database admits so many, for each process; or set CONN_MAX_AGE = 0 "
            'and use Django\'s pool, which has a limit (OPTIONS = {"pool": True}, psycopg 3), or a '
            "pooler such as PgBouncer.",
            id="dualws.W003",
        )
        for alias, database in settings.DATABASES.items()
        # A file admits as many as there are.
        if database.get("CONN_MAX_AGE", 0) != 0
        and not database.get("ENGINE", "").endswith(".sqlite3")
    ]


def check_effects(**kwargs: Any) -> list[checks.CheckMessage]:
    """Settings that contradict each other."""
    given = conf.given_settings(settings)
    return [
        checks.Warning(f"{name} has no effect: {why}.", hint=cure, id="dualws.W005")
        for name, why, cure in _without_effect(given)
    ]


def _without_effect(given: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Name of a setting, why it has no effect, and the cure."""
    if given.get("DUALWS_COMPRESSION") is False:
        for name in sorted(given):
            if name.startswith("DUALWS_COMPRESSION_"):
                yield name, "DUALWS_COMPRESSION is False", f"Remove {name}."
    if given.get("DUALWS_PING_INTERVAL") == 0 and "DUALWS_PING_TIMEOUT" in given:
        yield (
            "DUALWS_PING_TIMEOUT",
            "DUALWS_PING_INTERVAL is 0, so no pings are sent",
            "Remove it, or set an interval.",
        )
    if not given.get("DUALWS_CERTFILE"):
        tls = ("KEYFILE", "SNI_CERTIFICATES", "CLIENT_CERTIFICATES", "CA_CERTS", "CIPHERS")
        for name in ("DUALWS_" + name for name in tls):
            if given.get(name, "none") not in ("none", "", (), []):
                yield name, "DUALWS_CERTFILE is not set, so there is no TLS", f"Remove {name}."
    if "DUALWS_TRUSTED_HEADERS" in given and not given.get("DUALWS_TRUSTED_PROXIES"):
        yield (
            "DUALWS_TRUSTED_HEADERS",
            "DUALWS_TRUSTED_PROXIES lists nobody",
            "List your proxies.",
        )
    if given.get("DUALWS_BODY_TIMEOUT") == 0 and "DUALWS_BODY_MIN_RATE" in given:
        yield (
            "DUALWS_BODY_MIN_RATE",
            "DUALWS_BODY_TIMEOUT is 0, so bodies may take any time",
            "Remove it, or set a timeout.",
        )
    rates = ("DUALWS_MAX_MESSAGE_RATE", "DUALWS_MAX_BYTE_RATE")
    if "DUALWS_RATE_PATIENCE" in given and not any(given.get(name) for name in rates):
        yield (
            "DUALWS_RATE_PATIENCE",
            f"neither {rates[0]} nor {rates[1]} is set",
            "Remove it, or set one of them.",
        )
    origins = given.get("DUALWS_ALLOWED_ORIGINS")
    if isinstance(origins, list | tuple) and "*" in origins and len(origins) > 1:
        others = ", ".join(str(origin) for origin in origins if origin != "*")
        yield (
            "DUALWS_ALLOWED_ORIGINS",
            f"'*' admits every site, also without {others}",
            "Remove '*', or all the others.",
        )


def check_workers(**kwargs: Any) -> list[checks.CheckMessage]:
    """What one worker publishes does not reach the websockets of the others."""
    workers = getattr(settings, "DUALWS_WORKERS", 0)
    if not isinstance(workers, int) or workers < 2:
        return []
    with contextlib.suppress(Exception):  # the URLconf's own check says what is wrong with it
        importlib.import_module(settings.ROOT_URLCONF)  # and with it the project's views
    said = about_topics()
    if said is None:
        return []
    return [
        checks.Warning(
            f"DUALWS_WORKERS is {workers}: {said}.",
            hint="Set DUALWS_WORKERS to 0 or 1: one process serves thousands of websockets.",
            id="dualws.W006",
        )
    ]


def about_topics() -> str | None:
    """What to know of topics before several workers serve the project; None without any."""
    found = ", ".join(publishers())
    if not found:
        return None
    return f"publish(), used in {found}, reaches the websockets of one worker only"


def publishers() -> list[str]:
    """The project's modules, as far as they are imported, that publish to topics."""
    return sorted(
        name
        for name, module in tuple(sys.modules.items())
        if not name.startswith("dualws.")
        and any(
            value is pubsub.publish or value is pubsub
            for value in tuple(getattr(module, "__dict__", {}).values())
        )
        and name != "dualws"
    )


def _blocking_driver(engine: str) -> Iterator[tuple[str, str]]:
    """The driver that Django would use for *engine* if it blocks, and the cure."""
    if engine.endswith((".postgresql", ".postgis")):
        if find_spec("psycopg") is None and find_spec("psycogreen") is None:
            yield "psycopg2", "Move to psycopg 3 (pip install psycopg), or install psycogreen."
    elif "mysql" in engine:
        if find_spec("pymysql") is None:
            yield (
                "mysqlclient",
                'Install PyMySQL, which takes its place: pip install "PyMySQL>=1.1.3"',
            )
    elif engine.endswith(".oracle"):
        yield "oracledb", 'Use the other backend: DUALWS_BACKEND = "tornado".'


def _backend() -> str:
    """Name of the backend that the project would run on here, as far as it is known."""
    named = getattr(settings, "DUALWS_BACKEND", None)
    choice = bootstrap.choose_without_settings(None)
    return choice.name if choice else str(named or bootstrap.default().name)
