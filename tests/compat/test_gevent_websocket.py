"""Programs written for gevent-websocket, with that package as it is.

Its server is never started: dualws's is, on both backends.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection, connect

from compat import guide
from compat.libraries import need
from support import frames
from support.frames import CLOSE, build, close_payload, read_frame
from support.server import LiveServer
from support.timing import TIMEOUT

need("geventwebsocket")

Serve = Callable[..., LiveServer]


@pytest.fixture
def rooms(serve_app: Serve, tmp_path: Path) -> LiveServer:
    """The guide's chat."""
    guide.write(tmp_path, "rooms.py")
    return serve_app("rooms")


@pytest.fixture
def programs(serve_app: Serve) -> LiveServer:
    """A ``Resource`` with applications of more kinds."""
    return serve_app("compat.gevent_websocket_programs")


def test_the_guides_chat(rooms: LiveServer) -> None:
    assert rooms.get("/").body == b"The chat is at /chat.\n"

    def join() -> ClientConnection:
        client = connect(rooms.url("/chat", "ws"), legacy=True)
        assert client.recv(TIMEOUT) == "somebody came"
        return client

    first = join()
    second = join()
    assert first.recv(TIMEOUT) == "somebody came"
    for said in ("hello", "ünïcode 🐍", b"\x00\xff"):
        first.send(said)
        assert first.recv(TIMEOUT) == second.recv(TIMEOUT) == said
    first.close()
    assert first.close_code == 1000
    assert second.recv(TIMEOUT) == "somebody left"
    third = join()
    assert second.recv(TIMEOUT) == "somebody came"
    second.close()
    assert third.recv(TIMEOUT) == "somebody left"
    third.close()


def test_an_applications_life_ends_once(programs: LiveServer) -> None:
    """``handle()`` ends because ``receive()`` raises WebSocketError after it has said None."""
    with programs.connect() as client:
        assert frames.handshake(client, "/notes", programs.netloc).status == 101
        client.send(build(1, b"one") + build(CLOSE, close_payload(3001)))
        frame = read_frame(client)
        assert (frame.opcode, frame.close_code) == (CLOSE, 3001)
        client.assert_closed()
    calls = programs.get_json("/log", key="life", count=4)
    assert calls == ["open", ["message", "one"], ["message", None], "close"]


def test_sending_to_a_closed_websocket(programs: LiveServer) -> None:
    with programs.connect() as client:
        assert frames.handshake(client, "/late", programs.netloc).status == 101
        client.send(build(CLOSE, close_payload(1000)))
        assert read_frame(client).opcode == CLOSE
        client.assert_closed()
    assert programs.get_json("/log", key="late", count=3) == [True, "WebSocketError", [1, True]]


def test_the_subprotocol_of_an_application(programs: LiveServer) -> None:
    for offered, agreed in ((["other", "loud"], "loud"), (["other"], None)):
        with connect(programs.url("/loud", "ws"), subprotocols=offered) as client:
            client.send("hello")
            assert client.recv(TIMEOUT) == "HELLO"
            assert client.subprotocol == agreed


def test_plain_functions(programs: LiveServer) -> None:
    with connect(programs.url("/loop", "ws"), origin=programs.url("").rstrip("/")) as client:
        seen = client.recv(TIMEOUT)
        assert seen == f"/loop {programs.url('').rstrip('/')} 13"
        client.send("x")
        assert client.recv(TIMEOUT) == "x"
    with connect(programs.url("/iterates", "ws")) as client:
        for message in ("x", "y"):
            client.send(message)
            assert client.recv(TIMEOUT) == message
    assert programs.get_json("/log", key="iterates", count=1) == ["WebSocketError"]
    assert programs.get("/nothing").status == 500
    programs.expect_traceback("Exception: No apps defined")
