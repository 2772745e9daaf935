"""Websocket views in the URLconf: converters, names, includes, and pages at the same address."""

from __future__ import annotations

import json

import pytest

from support import frames
from support.crowd import answer, open_socket
from support.raw import Head
from support.server import LiveServer

SAME_ADDRESS = ["both", "blocking", "asynchronous", "with-events"]


@pytest.mark.parametrize(("name", "more"), [("room", ""), ("events", "events/")])
def test_converters_names_and_namespaces(live: LiveServer, name: str, more: str) -> None:
    path = f"/addresses/rooms/blue-room/7/{more}"
    with open_socket(live, path) as client:
        assert json.loads(answer(client)) == ["blue-room", 7, path, f"rooms:{name}"]


def test_an_argument_that_does_not_convert_is_404(live: LiveServer) -> None:
    with live.connect() as client:
        head = frames.handshake(client, "/addresses/rooms/blue/seven/", live.netloc)
        assert head.status == 404


def test_arguments_without_names(live: LiveServer) -> None:
    with open_socket(live, "/addresses/positional/abc-12/") as client:
        assert json.loads(answer(client)) == ["abc", "12"]


@pytest.mark.parametrize("view", SAME_ADDRESS)
def test_one_address_serves_pages_and_websockets(live: LiveServer, view: str) -> None:
    page = live.get(f"/addresses/{view}/tea/")
    assert page.status == 200
    assert page.body.startswith(b"page tea")
    with open_socket(live, f"/addresses/{view}/tea/") as client:
        assert answer(client).startswith("socket tea")


@pytest.mark.parametrize("view", SAME_ADDRESS)
def test_a_bad_handshake_gets_no_page(live: LiveServer, view: str) -> None:
    assert _with_version(live, f"/addresses/{view}/tea/", "12").status == 426


def _with_version(server: LiveServer, path: str, version: str) -> Head:
    with server.connect() as client:
        return frames.handshake(client, path, server.netloc, version=version)


@pytest.mark.parametrize("view", ["blocking", "with-events"])
def test_subprotocols_of_a_class(live: LiveServer, view: str) -> None:
    header = ("Sec-WebSocket-Protocol", "chat.v9, chat.v1")
    with open_socket(live, f"/addresses/{view}/tea/", header) as client:
        assert answer(client) == "socket tea tea chat.v1"


def test_a_class_chooses_subprotocol_and_compression(live: LiveServer) -> None:
    with live.connect() as client:
        head = frames.handshake(
            client,
            "/addresses/spoken/",
            live.netloc,
            ("Sec-WebSocket-Protocol", "chat.v1, chat.v2"),
            ("Sec-WebSocket-Extensions", "permessage-deflate"),
        )
        assert head.status == 101
        assert head.get("Sec-WebSocket-Protocol") == "chat.v1"
        assert head.get("Sec-WebSocket-Extensions") is None
        assert answer(client) == "chat.v1"


def test_the_websocket_of_the_request_can_be_accepted(live: LiveServer) -> None:
    assert live.get("/addresses/accepts/").status == 400
    with open_socket(live, "/addresses/accepts/") as client:
        assert answer(client) == "True AnonymousUser"
