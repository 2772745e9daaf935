"""Sessions: what a handler sees, what it writes, and that nothing is ever written back stale."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from support.crowd import ask
from support.frames import CLOSE, build, close_payload, read_frame
from support.member import Member
from support.raw import RawClient
from support.server import LiveServer
from support.timing import TIMEOUT, eventually

Serve = Callable[..., LiveServer]
STYLES = ["blocking", "events", "coroutine", "inside"]
ENGINES = ["db", "cached_db", "cache", "file"]


def tell(client: RawClient, words: str) -> Any:
    """Have the handler act on its session; what it says."""
    said = ask(client, words.encode())
    return json.loads(said) if words.startswith("get") else said


def leave(client: RawClient) -> None:
    """Close the websocket, and wait until it is closed on both sides."""
    client.send(build(CLOSE, close_payload(1000)))
    assert read_frame(client).opcode == CLOSE
    client.assert_closed()


def without_notes_of_the_view(session: dict[str, Any]) -> dict[str, Any]:
    """The session but for what the view changes outside any message."""
    return {name: value for name, value in session.items() if name not in ("before", "left")}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("signed_in", [True, False])
def test_the_cart_of_http_survives_the_socket(
    live: LiveServer, key: str, style: str, signed_in: bool
) -> None:
    member = Member(live, key if signed_in else None)
    member.session(cart=["tea"])
    with member.open(f"/members/session/{style}/") as client:
        assert tell(client, "get cart") == ["tea"]
        member.session(cart=["tea", "milk"], coupon="x")
        assert tell(client, "get cart") == ["tea"]
        leave(client)
        member.session(cart=["tea", "milk", "honey"])
    expected = {"cart": ["tea", "milk", "honey"], "coupon": "x"}
    assert without_notes_of_the_view(member.session()) == expected


def test_a_view_that_stays_inside_django_saves_what_it_changed_and_nothing_else(
    live: LiveServer, key: str
) -> None:
    member = Member(live, key)
    member.session(cart=["tea"])
    with member.open("/members/session/inside/") as client:
        assert tell(client, "get before") == "the accept"
        # Saved when the websocket was accepted, not hours later.
        assert member.session()["before"] == "the accept"
        member.session(cart=["milk"])
        leave(client)
    eventually(lambda: member.session().get("left"), what="the view's change was not saved")
    assert member.session() == {"cart": ["milk"], "before": "the accept", "left": True}


def test_what_the_view_changed_is_saved_once(serve_set: Serve, key: str) -> None:
    server = serve_set(SESSION_ENGINE="support.project.noted_sessions")
    member = Member(server)
    member.session(cart=["tea"])
    seen = len(server.get_json("/notes/", key="saves"))
    with member.open("/ws/visit/") as client:
        assert read_frame(client).close_code == 1000  # the handler has returned
    # A second save, after the stack has unwound, could undo what others wrote since.
    saves = server.get_json("/notes/", key="saves", count=seen + 1)[seen:]
    assert saves == [{"cart": ["tea"], "visits": 1}]
    with member.open("/members/session/inside/") as client:
        assert tell(client, "get before") == "the accept"
        saves = server.get_json("/notes/", key="saves", count=seen + 2)[seen + 1 :]
        assert [save["before"] for save in saves] == ["the accept"]
        leave(client)


@pytest.mark.parametrize("style", STYLES)
def test_saving_every_request_saves_nothing_stale(serve_set: Serve, key: str, style: str) -> None:
    member = Member(serve_set(SESSION_SAVE_EVERY_REQUEST=True), key)
    member.session(cart=["tea"])
    with member.open(f"/members/session/{style}/") as client:
        tell(client, "get cart")
        member.session(cart=["milk"])
        leave(client)
    assert member.session()["cart"] == ["milk"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("style", STYLES)
def test_a_save_writes_what_the_handler_changed(
    serve_set: Serve, key: str, style: str, engine: str
) -> None:
    server = serve_set(SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}")
    member = Member(server, key)
    member.session(cart=["tea"], old=1, list=[1], kept={"a": 1})
    with member.open(f"/members/session/{style}/") as client:
        assert tell(client, "set seen 5") == "done"
        assert tell(client, "append list 2") == "done"
        assert tell(client, "delete old") == "done"
        member.session(cart=["tea", "milk"])
        assert "seen" not in member.session()
        assert tell(client, "save") == "done"
        expected = {"cart": ["tea", "milk"], "seen": 5, "list": [1, 2], "kept": {"a": 1}}
        assert without_notes_of_the_view(member.session()) == expected
        # It is up to date now, and knows what it has written.
        assert tell(client, "get cart") == ["tea", "milk"]
        member.session(seen=6)
        assert tell(client, "set other true") == "done"
        assert tell(client, "save") == "done"
        assert member.session()["seen"] == 6
        # A change that was not saved is forgotten.
        assert tell(client, "set seen 7") == "done"
        assert tell(client, "refresh") == "done"
        if style != "coroutine":
            assert tell(client, "get seen") == 6
        member.session(cart=[])
        assert tell(client, "refresh") == "done"
        assert tell(client, "get cart") == []


@pytest.mark.parametrize("style", STYLES)
def test_what_has_ended_is_not_brought_back(live: LiveServer, key: str, style: str) -> None:
    anonymous = Member(live)
    anonymous.session(cart=["tea"])
    with anonymous.open(f"/members/session/{style}/") as client:
        tell(client, "set seen 5")
        assert anonymous.get("/members/leave/").status == 200
        assert tell(client, "save") == "UpdateError"
        assert tell(client, "cycle") in ("RuntimeError", "UpdateError")
    if style == "inside":
        # Django's own answer, which goes nowhere here, to a session that ended meanwhile.
        live.expect_traceback("SessionInterrupted")
        live.accept_traceback("UpdateError")  # what it came from, a part of the same
    assert anonymous.session() == {}
    with Member(live).open(f"/members/session/{style}/") as client:
        tell(client, "set seen 5")
        if style != "inside":  # there the view has made one before it accepted
            assert tell(client, "save") == "UpdateError"
        assert tell(client, "cycle") == "RuntimeError"


def test_a_session_in_cookies_cannot_be_written(serve_set: Serve, key: str) -> None:
    server = serve_set(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies")
    member = Member(server, key)
    member.session(cart=["tea"])
    for style in STYLES:
        with member.open(f"/members/session/{style}/") as client:
            assert tell(client, "get cart") == ["tea"]
            tell(client, "set cart []")
            assert tell(client, "save") == "RuntimeError"
            leave(client)
            if style == "inside":  # whose change Django would have saved
                server.expect_traceback("a websocket cannot set one")


@pytest.mark.parametrize("engine", ["db", "cached_db"])
def test_saves_of_both_sides_at_one_time_lose_nothing_of_http(
    serve_set: Serve, key: str, engine: str
) -> None:
    server = serve_set(SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}")
    member = Member(server, key)
    with member.open("/members/session/blocking/") as client, ThreadPoolExecutor(1) as pool:
        for i in range(30):
            tell(client, f"set seen {i}")
            shopping = pool.submit(member.session, cart=[i])
            assert tell(client, "save") == "done"
            assert shopping.result(TIMEOUT)["cart"] == [i]
            assert member.session()["cart"] == [i]
