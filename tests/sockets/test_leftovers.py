"""A websocket that has ended is freed at once: nothing of it waits for the collector."""

from __future__ import annotations

import json
import threading
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from django.utils.functional import SimpleLazyObject

from dualws.auth import identify
from dualws.tls.transport import TlsTransport
from support.crowd import answer, ask, open_socket
from support.frames import CLOSE, build, close_payload, read_frame
from support.member import Member
from support.raw import RawClient
from support.server import LiveServer
from support.timing import eventually

STYLES = ["blocking", "events", "ws4py", "coroutine", "inside"]
MIDDLEWARES = ["django.contrib.auth.middleware", "dualws.auth_middleware"]
MESSAGES = "django.contrib.messages.middleware.MessageMiddleware"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"


def closed_by_client(client: RawClient) -> None:
    client.send(build(CLOSE, close_payload(1000)))
    assert read_frame(client).opcode == CLOSE
    client.close()


def vanished(client: RawClient) -> None:
    client.reset()


@pytest.fixture(params=MIDDLEWARES)
def server(request: pytest.FixtureRequest, serve_app: Callable[..., LiveServer]) -> LiveServer:
    settings = {
        "MIDDLEWARE": [SESSIONS, f"{request.param}.AuthenticationMiddleware", MESSAGES],
    }
    return serve_app("support.project.wsgi", env={"DUALWS_TEST_SETTINGS": json.dumps(settings)})


def left(server: LiveServer) -> Any:
    return server.get_json("/leftovers/count/")


def until_nothing(server: LiveServer, what: str) -> None:
    try:
        eventually(lambda: left(server) == {}, what="it is kept")
    except AssertionError as error:
        error.add_note(f"left: {left(server)} of {what}")
        raise


def test_what_has_ended_is_freed_at_once(server: LiveServer, key: str) -> None:
    ada, anonymous = Member(server, key), Member(server)
    server.get("/leftovers/stop-collector/")
    for style in STYLES:
        path = f"/members/{style}/?key={key}"
        for end in (closed_by_client, vanished):
            clients = [member.open(path) for member in (ada, anonymous)]
            assert [ask(client, b"hello") for client in clients] == ["hello"] * 2
            assert left(server)["Connection"] == 2
            for client in clients:
                end(client)
            until_nothing(server, f"{style}, {end.__name__}")


@pytest.mark.parametrize("style", ["blocking", "events", "async"])
def test_so_is_one_whose_handler_fails(server: LiveServer, key: str, style: str) -> None:
    server.get("/leftovers/stop-collector/")
    with open_socket(server, f"/ws/ends/{style}/?key={key}") as client:
        client.send(build(1, b"go"))
        assert read_frame(client).close_code == 1011
        client.send(build(CLOSE, close_payload(1011)))
    server.expect_traceback(f"SystemExit: {style}")
    until_nothing(server, style)


def test_a_user_that_asking_did_not_load_can_still_be_loaded() -> None:
    class Visitor(SimpleLazyObject):
        is_authenticated = False

    request: Any = SimpleNamespace()
    visitor: Any = Visitor(lambda: "ada")
    request.user = visitor
    assert identify(request) is None
    assert visitor.upper() == "ADA"


def test_an_open_one_does_not_keep_the_patterns_that_did_not_match(live: LiveServer) -> None:
    with open_socket(live, "/leftovers/tried/") as client:
        match, tried = json.loads(answer(client))
    assert "leftovers/tried/" in match
    assert tried is None


def test_a_request_is_still_that_of_a_websocket_but_has_none(live: LiveServer, key: str) -> None:
    path = f"/leftovers/kept/?key={key}"
    with open_socket(live, path) as client:
        assert json.loads(answer(client)) == [True, True]
        assert read_frame(client).opcode == CLOSE
    eventually(lambda: live.get_json(path) == [True, False], what="it has a websocket")


def test_tls_lets_go_of_its_connection() -> None:
    class Owner:
        lost = False

        def connection_lost(self, error: OSError | None) -> None:
            self.lost = True

    owner: Any = Owner()
    transport = TlsTransport(cast(Any, None), owner, threading.Lock(), b"")
    transport.connection_lost(None)
    assert owner.lost
    freed = weakref.ref(owner)
    del owner
    assert freed() is None
