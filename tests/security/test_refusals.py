"""Decorators and middleware refuse websockets with the status that they give to pages."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support import frames
from support.crowd import answer
from support.member import Member
from support.raw import Head
from support.server import LiveServer

Serve = Callable[..., LiveServer]


def ask_for(member: Member, path: str) -> Head:
    """The answer to a handshake."""
    with member.server.connect() as client:
        return frames.handshake(client, path, member.server.netloc, member.header)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("for-users/", 302),
        ("for-users/class/", 302),
        ("for-ada/", 302),
        ("for-ada/class/", 403),
        ("for-permitted/", 403),
    ],
)
def test_strangers_are_refused(live: LiveServer, path: str, status: int) -> None:
    head = ask_for(Member(live), f"/members/{path}")
    assert head.status == status
    if path == "for-permitted/":
        live.expect_traceback("PermissionDenied")  # Django logs it
    if status == 302:
        assert (head.get("Location") or "").startswith("/members/enter/?next=")


@pytest.mark.parametrize("path", ["for-users/", "for-users/class/"])
def test_users_are_let_in(live: LiveServer, key: str, path: str) -> None:
    with Member(live, key).open(f"/members/{path}") as client:
        assert answer(client) == key


@pytest.mark.parametrize("path", ["for-ada/", "for-ada/class/"])
def test_a_test_of_the_user_lets_in_who_passes(live: LiveServer, key: str, path: str) -> None:
    assert ask_for(Member(live, key), f"/members/{path}").status in (302, 403)
    with Member(live, "ada").open(f"/members/{path}") as client:
        assert answer(client) == "ada"


def test_a_permission_is_needed(live: LiveServer, key: str) -> None:
    member = Member(live, key)
    assert ask_for(member, "/members/for-permitted/").status == 403
    live.expect_traceback("PermissionDenied")
    assert live.get("/members/change/", name=key, how="permit").status == 200
    with member.open("/members/for-permitted/") as client:
        assert answer(client) == key


def test_the_middleware_that_requires_a_login_covers_websockets(serve_set: Serve, key: str) -> None:
    names = ["sessions.middleware.Session", "auth.middleware.Authentication"]
    middleware = [f"django.contrib.{name}Middleware" for name in names]
    server = serve_set(
        MIDDLEWARE=[*middleware, "support.project.members.LoginRequired"],
        LOGIN_URL="/members/enter/",
    )
    for style in ("blocking", "events", "coroutine", "inside"):
        assert ask_for(Member(server), f"/members/{style}/?key={key}").status == 302
