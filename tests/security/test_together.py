"""Sessions and users of a burst are loaded together, and everybody is who Django says they are."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from support.crowd import answer, knock
from support.frames import handshake, read_frame
from support.member import Member
from support.raw import Head, RawClient
from support.server import LiveServer
from support.timing import TIMEOUT, eventually

Serve = Callable[..., LiveServer]
OURS = "dualws.auth_middleware.AuthenticationMiddleware"
HERE = "support.project.together"
WHO = "/together/who/"
SESSIONS, USERS = "django_session", "auth_user"


@pytest.fixture
def serve_together(serve_set: Serve) -> Serve:
    """``serve_together(after=[…], before=[…], NAME=value)``: with the middleware."""

    def start(before: Sequence[str] = (), after: Sequence[str] = (), **more: object) -> LiveServer:
        sessions = "django.contrib.sessions.middleware.SessionMiddleware"
        server = serve_set(MIDDLEWARE=[sessions, *before, OURS, *after], **more)
        server.get("/together/watch/")
        return server

    return start


@pytest.fixture
def server(serve_together: Serve) -> LiveServer:
    return serve_together()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as threads:
        yield threads


def ask_who(
    server: LiveServer, cookie: tuple[str, str], path: str = WHO, host: str | None = None
) -> tuple[Head, Any]:
    """The answer to a handshake, and who was found."""
    with server.connect() as client:
        head = handshake(client, path, host or server.netloc, cookie)
        return head, json.loads(answer(client)) if head.status == 101 else None


def person(name: str, key: str | None) -> dict[str, Any]:
    """What is told of somebody who is signed in."""
    return {"name": name, "owner": name, "shared": False, "identity": key}


def members(server: LiveServer, key: str, count: int) -> list[Member]:
    """People who have signed in, with their names in their sessions."""
    found = [Member(server, f"{key}-{number}") for number in range(count)]
    for member in found:
        member.session(own={"owner": member.name})
    return found


def burst(
    server: LiveServer,
    pool: ThreadPoolExecutor,
    key: str,
    first: Callable[[], Any],
    others: Sequence[Callable[[], Any]],
    how: str = "wait",
) -> list[Future[Any]]:
    """*first* asks the database for everybody, and while it does all *others* queue up.

    :param how: "wait", or what happens to that query: "fail", "exit"
    """
    server.get("/together/watch/", key=key, hold=f"{key}-hold", how=how)
    asking = [pool.submit(first)]
    assert server.get_json("/notes/", key=f"{key}-hold", count=1) == ["held"]
    asking += [pool.submit(other) for other in others]
    eventually(
        lambda: server.get_json("/together/queued/") == len(others), what="not all have queued"
    )
    server.get("/release/", key=f"{key}-hold")
    return asking


def queries(server: LiveServer, key: str) -> list[list[Any]]:
    """The queries for sessions and users, and for how many each was; 0 for one alone."""
    noted: list[list[Any]] = server.get_json("/notes/", key=key, count=0)
    return noted


def asks(server: LiveServer, member: Member, path: str = WHO) -> Callable[[], Any]:
    return lambda: ask_who(server, member.header, path)[1]


def test_a_burst_asks_once_for_its_sessions_and_once_for_its_users(
    server: LiveServer, pool: ThreadPoolExecutor, key: str
) -> None:
    first, *others = people = members(server, key, 11)
    asking = burst(server, pool, key, asks(server, first), [asks(server, m) for m in others])
    told = [one.result(TIMEOUT) for one in asking]
    assert told == [person(f"{key}-{n}", m.key) for n, m in enumerate(people)]
    assert queries(server, key) == [[SESSIONS, 1], [USERS, 1], [SESSIONS, 10], [USERS, 10]]


def test_one_session_in_many_windows_is_asked_for_once_and_shared_by_none(
    server: LiveServer, pool: ThreadPoolExecutor, key: str
) -> None:
    (member,) = members(server, key, 1)
    elsewhere = Member(server, member.name)
    elsewhere.session(own={"owner": member.name})
    windows = [asks(server, who) for who in (member, elsewhere) * 4]
    asking = burst(server, pool, key, asks(server, member), windows)
    told = [one.result(TIMEOUT) for one in asking]
    assert {one["identity"] for one in told} == {member.key, elsewhere.key}
    assert [(one["name"], one["shared"]) for one in told] == [(member.name, False)] * 9
    assert queries(server, key) == [[SESSIONS, 1], [USERS, 1], [SESSIONS, 2], [USERS, 1]]


@pytest.mark.parametrize("engine", ["db", "cached_db", "cache"])
def test_everybody_is_who_they_are_however_many_come_at_once(
    serve_together: Serve, key: str, engine: str
) -> None:
    server = serve_together(SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}")
    people = members(server, key, 12)
    people += [Member(server, member.name) for member in people[:4]]
    for member in people[12:]:
        member.session(own={"owner": member.name})
    nobody = {"name": "", "owner": None, "shared": False, "identity": None}
    for turn in range(4):
        if engine == "cached_db" and turn % 2:
            server.get("/together/clear/")
        with contextlib.ExitStack() as stack:
            clients: list[tuple[RawClient, dict[str, Any]]] = []
            for number in range(90):  # all are under way before the first is answered
                member = people[(number * 7 + turn) % len(people)]
                client = stack.enter_context(server.connect())
                cookies, expected = [member.header], person(str(member.name), member.key)
                if number % 9 == 8:
                    cookies, expected = [], nobody
                knock(client, WHO, server.netloc, *cookies)
                clients.append((client, expected))
            for client, expected in clients:
                assert client.read_head().status == 101
                assert json.loads(answer(client)) == expected


def change(server: LiveServer, statement: str, *values: object) -> None:
    """Change the database behind the server's back."""
    connection = sqlite3.connect(server.folder / "db.sqlite3", timeout=20)
    with contextlib.closing(connection) as other, other:
        assert other.execute(statement, values).rowcount == 1


def test_whom_django_refuses_is_refused_among_others(
    serve_together: Serve, pool: ThreadPoolExecutor, key: str
) -> None:
    server = serve_together(SECRET_KEY_FALLBACKS=["an older secret"])
    people = members(server, key, 10)
    first, last, expired, ended, spoilt, inactive, deleted, password, older, forged = people
    row = "django_session SET {} WHERE session_key = ?"
    change(server, "UPDATE " + row.format("expire_date = '2001-01-01 00:00:00'"), expired.key)
    change(server, "DELETE FROM django_session WHERE session_key = ?", ended.key)
    change(server, "UPDATE " + row.format("session_data = 'spoilt'"), spoilt.key)
    change(server, "UPDATE auth_user SET is_active = 0 WHERE username = ?", inactive.name)
    change(server, "DELETE FROM auth_user WHERE username = ?", deleted.name)
    change(server, "UPDATE auth_user SET password = 'x' WHERE username = ?", password.name)
    assert older.get("/together/old-hash/").status == 200
    forged.cookies["sessionid"] = "no-session-of-this-server-at-all"
    cookies = [member.header for member in people[1:]]
    strange = [("Cookie", f"sessionid={name}") for name in ("short", "a" * 80, "%00'--;  ", "")]
    asking = burst(
        server,
        pool,
        key,
        partial(ask_who, server, first.header),
        [partial(ask_who, server, cookie) for cookie in cookies],
    )
    answers = [one.result(TIMEOUT) for one in asking]
    answers += [ask_who(server, cookie) for cookie in strange]
    names = [told["name"] for _, told in answers]
    assert names == [first.name, last.name, *[""] * 6, older.name, "", *[""] * 4]
    # As Django does it: a new key for the session that is signed with the older secret.
    fresh = [head.all("Set-Cookie") for head, _ in answers]
    assert [bool(cookies) for cookies in fresh].index(True) in range(2, 9)
    assert fresh[8][0].startswith("sessionid=")
    assert older.key not in fresh[8][0]
    assert fresh[7][0].startswith('sessionid=""')  # the session has been flushed
    assert queries(server, key)[:3] == [[SESSIONS, 1], [USERS, 1], [SESSIONS, 9]]


@pytest.mark.parametrize(
    ("settings", "name", "owner", "together"),
    [
        ({}, "{}", "{}", [[SESSIONS, 1], [USERS, 1]]),
        (
            {"AUTHENTICATION_BACKENDS": [f"{HERE}.OwnBackend"]},
            "own {}",
            "{}",
            [[SESSIONS, 1], [USERS, 0]],
        ),
        ({"SESSION_ENGINE": HERE}, "{}", "own {}", [[SESSIONS, 0], [USERS, 0]]),
        ({"OWN_PEOPLE": True}, "", "{}", [[SESSIONS, 1], [USERS, 0]]),
        ({"before": [f"{HERE}.touching"]}, "{}", "{}", [[SESSIONS, 0], [USERS, 0]]),
        ({"after": [f"{HERE}.replacing"]}, "replaced", "{}", [[SESSIONS, 0]]),
        (
            {
                "DATABASES": {
                    "default": {
                        "ENGINE": "django.db.backends.sqlite3",
                        "NAME": "db.sqlite3",
                        "OPTIONS": {"timeout": 20},
                        "ATOMIC_REQUESTS": True,
                    }
                }
            },
            "{}",
            "{}",
            [[SESSIONS, 0], [USERS, 0]],
        ),
    ],
    ids=["plain", "backend", "store", "manager", "touched", "replaced", "atomic"],
)
def test_what_a_project_does_in_its_own_way_is_left_to_it(
    serve_together: Serve,
    key: str,
    settings: dict[str, Any],
    name: str,
    owner: str,
    together: list[list[Any]],
) -> None:
    server = serve_together(**settings)
    member = Member(server, f"{key}x") if "OWN_PEOPLE" not in settings else hidden(server, key)
    member.session(own={"owner": member.name})
    server.get("/together/watch/", key=key)
    told = asks(server, member)()
    assert told["name"] == name.format(member.name)
    assert told["owner"] == owner.format(member.name)
    assert queries(server, key) == together


def hidden(server: LiveServer, key: str) -> Member:
    """Somebody whom the project's manager has stopped to show."""
    member = Member(server, key)
    change(server, "UPDATE auth_user SET username = ? WHERE username = ?", f"{key}x", key)
    return member


def test_requests_for_different_hosts_are_not_answered_together(
    server: LiveServer, pool: ThreadPoolExecutor, key: str
) -> None:
    here, there = members(server, key, 2)
    server.get("/together/watch/", key=key, hold=f"{key}-hold", how="wait")
    waiting = pool.submit(asks(server, here))
    assert server.get_json("/notes/", key=f"{key}-hold", count=1) == ["held"]
    # Would wait otherwise.
    told = ask_who(server, there.header, host="elsewhere.example")[1]
    assert told == person(f"{key}-1", there.key)
    assert not waiting.done()
    server.get("/release/", key=f"{key}-hold")
    assert waiting.result(TIMEOUT) == person(f"{key}-0", here.key)


def test_requests_for_different_databases_are_not_answered_together(
    serve_together: Serve, pool: ThreadPoolExecutor, key: str
) -> None:
    sqlite = {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}
    server = serve_together(
        before=[f"{HERE}.choosing"],
        DATABASE_ROUTERS=[f"{HERE}.Router"],
        DATABASES={"default": sqlite, "elsewhere": sqlite},
    )
    here, there = members(server, key, 2)
    server.get("/together/watch/", key=key, hold=f"{key}-hold", how="wait")
    waiting = pool.submit(asks(server, here))
    assert server.get_json("/notes/", key=f"{key}-hold", count=1) == ["held"]
    # Would wait otherwise.
    told = asks(server, there, f"{WHO}?database=elsewhere")()
    assert told == person(f"{key}-1", there.key)
    assert not waiting.done()
    server.get("/release/", key=f"{key}-hold")
    assert waiting.result(TIMEOUT) == person(f"{key}-0", here.key)


def test_when_the_query_for_many_fails_everybody_asks_alone(
    server: LiveServer, pool: ThreadPoolExecutor, key: str
) -> None:
    first, *others = people = members(server, key, 5)
    asking = burst(
        server, pool, key, asks(server, first), [asks(server, m) for m in others], how="fail"
    )
    told = [one.result(TIMEOUT) for one in asking]
    assert told == [person(f"{key}-{n}", m.key) for n, m in enumerate(people)]
    assert server.stderr.wait_for(r"1 requests are answered one by one: OperationalError")
    noted = queries(server, key)
    assert noted[0] == [SESSIONS, 1]
    assert sorted(noted[1:]) == [[USERS, 0], [USERS, 4], [SESSIONS, 0], [SESSIONS, 4]]


def test_a_leader_that_is_killed_leaves_nobody_waiting(
    server: LiveServer, pool: ThreadPoolExecutor, key: str
) -> None:
    first, *others = members(server, key, 5)

    def fails() -> int:
        return ask_who(server, first.header)[0].status

    asking = burst(server, pool, key, fails, [asks(server, m) for m in others], how="exit")
    assert asking[0].result(TIMEOUT) == 500
    told = [one.result(TIMEOUT) for one in asking[1:]]
    assert told == [person(str(m.name), m.key) for m in others]
    server.expect_traceback("SystemExit: killed")
    assert asks(server, first)() == person(str(first.name), first.key)


def test_an_error_of_the_database_reaches_every_request(
    server: LiveServer, pool: ThreadPoolExecutor, key: str
) -> None:
    people = members(server, key, 4)
    server.get("/together/watch/", key=key, broken="")
    asking = [pool.submit(ask_who, server, member.header) for member in people]
    assert [one.result(TIMEOUT)[0].status for one in asking] == [500] * 4
    server.expect_traceback("OperationalError: no database", times=len(people))
    server.accept_traceback("AttributeError: .*_session_cache")  # it came while that was handled
    server.get("/together/watch/", key=key)
    assert asks(server, people[0])() == person(str(people[0].name), people[0].key)


def test_http_is_django_s_as_ever(server: LiveServer, key: str) -> None:
    (member,) = members(server, key, 1)
    server.get("/together/watch/", key=key)
    told = json.loads(member.get("/together/who/http/").body)
    assert told == {"name": member.name, "owner": member.name, "shared": False}
    # A bad handshake reaches the view as well, and nobody's connection waits for others.
    with server.connect() as client:
        head = handshake(client, WHO, server.netloc, member.header, version="99")
        assert head.status == 426
    assert queries(server, key)[:2] == [[SESSIONS, 0], [USERS, 0]]
    assert all(count == 0 for _, count in queries(server, key))


def test_a_coroutine_finds_its_user(server: LiveServer, key: str) -> None:
    (member,) = members(server, key, 1)
    assert asks(server, member, "/together/who/async/")() == {"name": member.name}
    assert ask_who(server, ("Cookie", ""), "/together/who/async/")[1] == {"name": ""}


def test_what_the_view_writes_is_saved_and_signing_out_closes(server: LiveServer, key: str) -> None:
    (member,) = members(server, key, 1)
    with member.open("/together/who/writes/") as client:
        assert json.loads(answer(client))["name"] == member.name
        assert member.session()["word"] == "before"
        assert member.get("/members/leave/").status == 200
        frame = read_frame(client)
        assert (frame.close_code, frame.close_reason) == (4401, "signed out")


def test_the_cache_of_sessions_is_filled_as_django_fills_it(
    serve_together: Serve, pool: ThreadPoolExecutor, key: str
) -> None:
    server = serve_together(SESSION_ENGINE="django.contrib.sessions.backends.cached_db")
    first, *others = members(server, key, 4)
    server.get("/together/clear/")
    for sessions in ([[SESSIONS, 1], [SESSIONS, 3]], []):
        note = f"{key}-{len(sessions)}"
        asking = burst(server, pool, note, asks(server, first), [asks(server, m) for m in others])
        told = [one.result(TIMEOUT) for one in asking]
        assert told == [person(str(m.name), m.key) for m in (first, *others)]
        noted = queries(server, note)
        assert [query for query in noted if query[0] == SESSIONS] == sessions
        assert [query for query in noted if query[0] == USERS] == [[USERS, 1], [USERS, 3]]
    # And what is in the cache is not asked for one by one either: a session that has ended is
    # gone from both, and nobody is anybody by it.
    assert others[0].get("/members/leave/").status == 200
    assert asks(server, others[0])()["name"] == ""
