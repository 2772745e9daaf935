"""The end of websockets whose user is no longer signed in, and of no others."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.crowd import ask
from support.frames import CLOSE, Frame, build, close_payload, read_frame
from support.member import Member
from support.raw import RawClient
from support.server import LiveServer
from support.timing import QUIET, TIMEOUT

Serve = Callable[..., LiveServer]
STYLES = ["blocking", "events", "ws4py", "coroutine", "inside"]


def assert_closed(client: RawClient, reason: str) -> None:
    """The server has closed it for *reason*."""
    frame = read_frame(client)
    assert (frame.close_code, frame.close_reason) == (4401, reason)
    client.send(build(CLOSE, close_payload(4401)))
    client.assert_closed()


def assert_open(client: RawClient) -> None:
    """The handler is there."""
    assert ask(client, b"still here") == "still here"


def behind_its_back(server: LiveServer, statement: str, *values: object) -> None:
    """Change the database as another process does."""
    connection = sqlite3.connect(server.folder / "db.sqlite3", timeout=20)
    with contextlib.closing(connection) as other, other:
        assert other.execute(statement, values).rowcount > 0


@pytest.mark.parametrize("style", STYLES)
def test_signing_out_closes_the_sockets_of_that_session(
    live: LiveServer, key: str, style: str
) -> None:
    path = f"/members/{style}/?key={key}"
    here, elsewhere, other = Member(live, key), Member(live, key), Member(live, key + "2")
    anonymous = Member(live)
    with (
        here.open(path) as first,
        here.open(path) as second,
        elsewhere.open(path) as third,
        other.open(path) as fourth,
        anonymous.open(path) as fifth,
    ):
        assert_open(first)
        assert here.get("/members/leave/").status == 200
        for client in (first, second):
            assert_closed(client, "signed out")
        assert live.get_json("/notes/", key=key, count=2) == [[4401, "signed out"]] * 2
        assert anonymous.get("/members/leave/").status == 200
        for client in (third, fourth, fifth):
            assert_open(client)


def test_who_comes_back_while_the_session_is_about_to_end_is_closed_as_well(
    live: LiveServer, key: str
) -> None:
    member = Member(live, key)
    path = f"/members/blocking/?key={key}"
    with member.open(path) as client, ThreadPoolExecutor(1) as pool:
        assert_open(client)
        leaving = pool.submit(member.get, "/members/leave/slowly/", key=key)
        assert_closed(client, "signed out")
        with member.open(path) as again:
            assert_open(again)
            live.get_json("/release/", key=key)
            assert leaving.result(TIMEOUT).status == 200
            assert_closed(again, "the session has ended")


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("deactivate", "the user was deactivated"),
        ("delete", "the user was deleted"),
        ("password", "the password was changed"),
    ],
)
def test_a_user_who_may_no_longer_sign_in_loses_all_sockets(
    live: LiveServer, key: str, style: str, how: str, reason: str
) -> None:
    path = f"/members/{style}/?key={key}"
    with (
        Member(live, key).open(path) as first,
        Member(live, key).open(path) as second,
        Member(live, key + "2").open(path) as other,
    ):
        for harmless in ("save", "roll back"):
            assert live.get("/members/change/", name=key, how=harmless).status == 200
        assert_open(first)
        assert live.get("/members/change/", name=key, how=how).status == 200
        for client in (first, second):
            assert_closed(client, reason)
        assert_open(other)


@pytest.mark.parametrize("style", STYLES)
def test_what_another_process_does_is_noticed_later(share_app: Serve, key: str, style: str) -> None:
    server = share_app("support.project.wsgi", "--auth-recheck", "0.1")
    path = f"/members/{style}/?key={key}"
    ended, expired = Member(server, key), Member(server, key)
    deactivated, deleted = Member(server, key + "2"), Member(server, key + "3")
    untouched, anonymous = Member(server, key + "4"), Member(server)
    anonymous.session(cart=["tea"])
    members = (ended, expired, deactivated, deleted, untouched, anonymous)
    with contextlib.ExitStack() as stack:
        sockets = {member: stack.enter_context(member.open(path)) for member in members}
        for client in sockets.values():
            assert_open(client)
        session = "django_session WHERE session_key = ?"
        behind_its_back(server, f"DELETE FROM {session}", ended.key)
        assert_closed(sockets[ended], "the session has ended")
        behind_its_back(
            server,
            "UPDATE django_session SET expire_date = '2001-01-01 00:00:00' WHERE session_key = ?",
            expired.key,
        )
        assert_closed(sockets[expired], "the session has ended")
        behind_its_back(
            server, "UPDATE auth_user SET is_active = 0 WHERE username = ?", deactivated.name
        )
        assert_closed(sockets[deactivated], "the user was deactivated")
        behind_its_back(server, "DELETE FROM auth_user WHERE username = ?", deleted.name)
        assert_closed(sockets[deleted], "the user was deleted")
        behind_its_back(server, f"DELETE FROM {session}", anonymous.key)
        time.sleep(QUIET)
        for member in (untouched, anonymous):
            assert_open(sockets[member])


@pytest.mark.parametrize("engine", ["db", "cached_db", "cache", "file", "signed_cookies"])
def test_every_engine_is_asked_in_its_own_way(serve_set: Serve, key: str, engine: str) -> None:
    server = serve_set(
        "--auth-recheck", "0.1", SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}"
    )
    here, other = Member(server, key), Member(server, key + "2")
    path = f"/members/blocking/?key={key}"
    with here.open(path) as client, other.open(path) as another:
        time.sleep(QUIET)
        assert_open(client)
        if engine == "signed_cookies":  # nothing on the server can end it, but for the user's end
            behind_its_back(
                server, "UPDATE auth_user SET is_active = 0 WHERE username = ?", here.name
            )
            assert_closed(client, "the user was deactivated")
        else:
            assert here.get("/members/leave/").status == 200
            assert_closed(client, "signed out")
        assert_open(another)


def test_a_session_that_expires_takes_its_sockets_along(serve_set: Serve, key: str) -> None:
    server = serve_set("--auth-recheck", "0.1", SESSION_COOKIE_AGE=2)
    with Member(server, key).open(f"/members/events/?key={key}") as client:
        assert_open(client)
        assert_closed(client, "the session has ended")


def test_the_check_can_be_switched_off(serve_app: Serve, key: str) -> None:
    server = serve_app("support.project.wsgi", "--auth-recheck", "0")
    member = Member(server, key)
    with member.open(f"/members/blocking/?key={key}") as client:
        behind_its_back(
            server, "UPDATE auth_user SET is_active = 0 WHERE username = ?", member.name
        )
        time.sleep(QUIET)
        assert_open(client)
        # Signals are no check.
        assert member.get("/members/leave/").status == 200
        assert_closed(client, "signed out")


def test_one_query_checks_all_sockets_and_none_has_a_thread_of_its_own(
    serve_app: Serve, key: str
) -> None:
    server = serve_app("support.project.wsgi", "--auth-recheck", "0.3")
    members = [Member(server, f"{key}{i}") for i in range(3)]
    path = f"/members/events/?key={key}"
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(members[0].open(path))]
        assert_open(clients[0])
        before = server.get_json("/members/running/")
        clients += [stack.enter_context(members[i % 3].open(path)) for i in range(1, 60)]
        for client in clients:
            assert_open(client)
        assert server.get("/members/watch-queries/").status == 200
        # Three sessions and the time, in one query.
        assert server.get_json("/notes/", key="checks", count=2)[:2] == [4, 4]
        assert server.get_json("/members/running/") - before < 20
        assert members[1].get("/members/leave/").status == 200
        for i, client in enumerate(clients):
            if i % 3 == 1:
                assert_closed(client, "signed out")
            else:
                assert_open(client)


def test_a_check_that_fails_closes_nothing(serve_app: Serve, key: str) -> None:
    server = serve_app("support.project.wsgi", "--auth-recheck", "0.1")
    with Member(server, key).open(f"/members/blocking/?key={key}") as client:
        behind_its_back_alter(server, "django_session", "elsewhere")
        server.expect_traceback("no such table")
        assert server.stderr.wait_for("cannot check whether the users") is not None
        assert_open(client)
        behind_its_back_alter(server, "elsewhere", "django_session")
        server.accept_traceback("no such table")
        assert_open(client)


def behind_its_back_alter(server: LiveServer, table: str, name: str) -> None:
    """Rename a table."""
    with contextlib.closing(sqlite3.connect(server.folder / "db.sqlite3", timeout=20)) as other:
        other.execute(f"ALTER TABLE {table} RENAME TO {name}")


def test_frames_after_the_end_are_not_delivered(live: LiveServer, key: str) -> None:
    member = Member(live, key)
    with member.open(f"/members/blocking/?key={key}") as client:
        assert_open(client)
        assert member.get("/members/leave/").status == 200
        assert read_frame(client) == Frame(CLOSE, close_payload(4401, "signed out"))
        client.send(build(1, b"too late"))
        assert live.get_json("/notes/", key=key) == [[4401, "signed out"]]
