"""The system checks: every wrong or contradictory setting is said, with an id and a hint."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from django.core import checks as django_checks

from dualws import checks, pubsub
from dualws.checks import publishers
from support.program import python

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "checks.md"

POSTGRESQL = "django.db.backends.postgresql"
MYSQL = "django.db.backends.mysql"


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DUALWS_BACKEND", raising=False)
    monkeypatch.setattr("dualws.registry.names", lambda: ["gevent", "tornado"])
    monkeypatch.setattr("dualws.registry.missing", lambda name: None)


def found(**given: Any) -> list[tuple[str, str]]:
    """Ids and messages of what all the checks find; each has a hint."""
    project = SimpleNamespace(**{"DEBUG": False, "DATABASES": {}, **given})
    messages: list[django_checks.CheckMessage] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "settings", project)
        for check in (
            checks.check_settings,
            checks.check_backend,
            checks.check_effects,
            checks.check_drivers,
            checks.check_connection_age,
            checks.check_origins,
            checks.check_debug,
            checks.check_workers,
        ):
            messages += check()
    assert all(message.hint for message in messages)
    return [(str(message.id), message.msg) for message in messages]


def ids(**given: Any) -> list[str]:
    return [name for name, _ in found(**given)]


def test_a_project_without_settings_of_ours_is_fine() -> None:
    assert ids() == []
    assert ids(DUALWS_BACKEND="tornado", DUALWS_PING_INTERVAL=5) == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"DUALWS_PING_INTERVALL": 5}, ["dualws.E001"]),
        ({"DUALWS_PING_INTERVAL": "5"}, ["dualws.E002"]),
        ({"DUALWS_BACKEND": 5}, ["dualws.E002"]),
        ({"DUALWS_PING_INTERVAL": -1}, ["dualws.E003"]),
        ({"DUALWS_MAX_MESSAGE_SIZE": 0}, ["dualws.E003"]),
        ({"DUALWS_ALLOWED_ORIGINS": ["example.com"]}, ["dualws.E003"]),
        ({"DUALWS_BACKEND": "twisted"}, ["dualws.E004"]),
        ({"DUALWS_ALLOWED_ORIGINS": ["*"]}, ["dualws.W001"]),
        ({"DEBUG": True}, ["dualws.W004"]),
        ({"DUALWS_COMPRESSION": False, "DUALWS_COMPRESSION_THRESHOLD": 1}, ["dualws.W005"]),
        ({"DUALWS_PING_INTERVAL": 0, "DUALWS_PING_TIMEOUT": 5}, ["dualws.W005"]),
        ({"DUALWS_UNIX_SOCKET_MODE": 660}, ["dualws.E002"]),
        ({"DUALWS_UNIX_SOCKET_MODE": "rw"}, ["dualws.E003"]),
        ({"DUALWS_TRUSTED_PROXIES": ["10.0.0.0/33"]}, ["dualws.E003"]),
        ({"DUALWS_TRUSTED_PROXIES": ["proxy.example"]}, ["dualws.E003"]),
        ({"DUALWS_TRUSTED_HEADERS": ["x-real-ip"]}, ["dualws.E003", "dualws.W005"]),
        ({"DUALWS_CERTFILE": "c.pem", "DUALWS_CLIENT_CERTIFICATES": "yes"}, ["dualws.E003"]),
        ({"DUALWS_TLS_TIMEOUT": 0}, ["dualws.E003"]),
        ({"DUALWS_PROXY_PROTOCOL": True}, ["dualws.E005"]),
        ({"DUALWS_PROXY_PROTOCOL": True, "DUALWS_TRUSTED_PROXIES": ["unix"]}, []),
        (
            {
                "DUALWS_TRUSTED_PROXIES": ["::1"],
                "DUALWS_TRUSTED_HEADERS": ["forwarded", "x-forwarded-for"],
            },
            ["dualws.E005"],
        ),
        (
            {"DUALWS_CERTFILE": "c.pem", "DUALWS_CLIENT_CERTIFICATES": "required"},
            ["dualws.E005"],
        ),
        ({"DUALWS_KEYFILE": "k.pem"}, ["dualws.W005"]),
        ({"DUALWS_CERTFILE": "c.pem", "DUALWS_KEYFILE": "k.pem"}, []),
        ({"DUALWS_TRUSTED_HEADERS": ["forwarded"]}, ["dualws.W005"]),
        # a project may keep the settings of both backends
        ({"DUALWS_THREADS": 4, "DUALWS_BACKEND": "gevent"}, []),
        ({"DUALWS_ALLOWED_ORIGINS": ["*", "https://a.example"]}, ["dualws.W005", "dualws.W001"]),
    ],
)
def test_what_is_wrong_has_an_id(given: dict[str, Any], expected: list[str]) -> None:
    assert ids(**given) == expected


@pytest.mark.parametrize(
    ("engine", "installed", "names"),
    [
        (POSTGRESQL, {"psycopg"}, None),
        (POSTGRESQL, {"psycopg2", "psycogreen"}, None),
        (POSTGRESQL, {"psycopg2"}, "psycopg2"),
        (MYSQL, {"pymysql"}, None),
        (MYSQL, {"MySQLdb"}, "mysqlclient"),
        ("django.db.backends.oracle", {"oracledb"}, "oracledb"),
        ("django.db.backends.sqlite3", set(), None),
    ],
)
def test_drivers_that_block(
    monkeypatch: pytest.MonkeyPatch, engine: str, installed: set[str], names: str | None
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("dualws.checks.find_spec", lambda n: find("os") if n in installed else None)
    databases = {"default": {"ENGINE": engine}}
    expected = [] if names is None else ["dualws.W002"]
    assert ids(DATABASES=databases, DUALWS_BACKEND="gevent") == expected
    assert ids(DATABASES=databases, DUALWS_BACKEND="tornado") == []
    if names is not None:
        assert names in found(DATABASES=databases, DUALWS_BACKEND="gevent")[0][1]


@pytest.mark.parametrize(("age", "expected"), [(0, []), (60, ["W003"]), (None, ["W003"])])
def test_connections_that_outlive_their_requests(age: int | None, expected: list[str]) -> None:
    databases = {"default": {"ENGINE": "somebody.else", "CONN_MAX_AGE": age}}
    by_gevent = ids(DATABASES=databases, DUALWS_BACKEND="gevent")
    assert by_gevent == [f"dualws.{name}" for name in expected]
    assert ids(DATABASES=databases, DUALWS_BACKEND="tornado") == []
    databases["default"]["ENGINE"] = "django.db.backends.sqlite3"
    assert ids(DATABASES=databases, DUALWS_BACKEND="gevent") == []


@pytest.mark.parametrize(
    ("installed", "expected"),
    [("gevent", ["dualws.W002", "dualws.W003"]), ("tornado", [])],
)
def test_without_a_choice_it_is_gevent_where_that_is_installed(
    monkeypatch: pytest.MonkeyPatch, installed: str, expected: list[str]
) -> None:
    find = importlib.util.find_spec
    there = SimpleNamespace(name=installed, state="installed")
    monkeypatch.setattr("dualws.registry.describe", lambda: [there])
    monkeypatch.setattr(
        "dualws.bootstrap.find_spec", lambda name: find("os") if name == installed else None
    )
    monkeypatch.setattr("dualws.checks.find_spec", lambda name: None)
    databases = {"default": {"ENGINE": POSTGRESQL, "CONN_MAX_AGE": 60}}
    assert ids(DATABASES=databases) == expected


def test_the_environment_variable_counts_before_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DUALWS_BACKEND", "tornado")
    databases = {"default": {"ENGINE": POSTGRESQL, "CONN_MAX_AGE": 60}}
    assert ids(DATABASES=databases, DUALWS_BACKEND="gevent") == []


def test_all_of_them_are_registered_and_documented() -> None:
    checks.register()
    registered = {
        check.__name__
        for check in django_checks.registry.registry.get_checks(include_deployment_checks=True)
        if check.__module__ == "dualws.checks"
    }
    assert registered == {name for name in vars(checks) if name.startswith("check_")}
    assert checks.__doc__ is not None
    errors = [f"E{number:03}" for number in range(1, 6)]
    warnings = [f"W{number:03}" for number in range(1, 7)]
    assert re.findall(r"(?m)^[A-Z]\d{3}\b", checks.__doc__) == errors + warnings
    rows = re.findall(r"(?m)^\| `dualws\.(\w+)` \|", GUIDE.read_text())
    assert rows == errors + warnings
    source = inspect.getsource(checks)
    assert set(re.findall(r'"dualws\.([A-Z]\d{3})"', source)) == {*errors, *warnings}


def test_the_guide_shows_what_django_prints(tmp_path: Path) -> None:
    page = GUIDE.read_text()
    (settings,) = re.findall(r"(?ms)^```python\n# guide_settings\.py\n(.*?)^```", page)
    (shown,) = re.findall(r"(?ms)^```text\n(.*?)^```", page)
    (tmp_path / "guide_settings.py").write_text(settings)
    words = "-m", "django", "check", "--settings", "guide_settings", "--pythonpath", "."
    printed = python(tmp_path, *words)
    assert printed.returncode == 1
    assert " ".join(shown.split()) in " ".join(printed.stderr.split())


def test_a_backend_whose_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    cures = {"gevent": 'pip install "dualws[gevent]"'}
    monkeypatch.setattr("dualws.registry.missing", cures.get)
    project = SimpleNamespace(DUALWS_BACKEND="gevent")
    monkeypatch.setattr(checks, "settings", project)
    (error,) = checks.check_backend()
    assert (error.id, error.level) == ("dualws.E004", django_checks.ERROR)
    assert error.msg == "DUALWS_BACKEND: the library of the backend 'gevent' is not installed."
    assert error.hint == 'Install it: pip install "dualws[gevent]"'
    project.DUALWS_BACKEND = "gevnet"
    (error,) = checks.check_backend()
    assert error.hint == "Installed backends: tornado."


def test_a_library_that_is_not_needed_here_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dualws.registry.missing", {"gevent": "pip install gevent"}.get)
    assert ids(DUALWS_BACKEND="gevent") == ["dualws.E004"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DUALWS_BACKEND", "tornado")
        assert ids(DUALWS_BACKEND="gevent") == []
        assert ids(DUALWS_BACKEND="twisted") == ["dualws.E004"]
    # superserver --backend tornado
    monkeypatch.setattr("dualws.bootstrap.prepared", lambda: object)
    assert ids(DUALWS_BACKEND="gevent") == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("twisted", "no backend 'twisted'"),
        ("gevent", "the library of the backend 'gevent' is not installed"),
    ],
)
def test_a_variable_that_names_a_backend_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.setenv("DUALWS_BACKEND", name)
    monkeypatch.setattr("dualws.registry.missing", {"gevent": "pip install gevent"}.get)
    for given in ({}, {"DUALWS_BACKEND": "tornado"}):
        ((number, message),) = found(**given)
        assert number == "dualws.E004"
        assert message == f"The environment variable DUALWS_BACKEND: {said}."


def test_topics_and_several_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "publishers", list)
    assert ids(DUALWS_WORKERS=2) == []
    monkeypatch.setattr(checks, "publishers", publishers)
    views = ModuleType("shop.views")
    views.__dict__["tell_all"] = pubsub.publish
    monkeypatch.setitem(sys.modules, "shop.views", views)
    assert ids(DUALWS_WORKERS=1) == []
    assert ids() == []
    ((name, message),) = found(DUALWS_WORKERS=2)
    assert name == "dualws.W006"
    assert message.startswith("DUALWS_WORKERS is 2: publish(), used in ")
    assert message.endswith(", reaches the websockets of one worker only.")
    assert "shop.views" in message
    assert "dualws.pubsub" not in message
    assert ids(DUALWS_WORKERS=1000) == ["dualws.E003", "dualws.W006"]
