"""Peers that do not read, or leave while nobody reads from them, and iterators that wait."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support import frames
from support.crowd import open_socket
from support.frames import BINARY, CLOSE, TEXT, build, read_frame
from support.raw import RawClient
from support.server import LiveServer, options
from support.timing import SCALE, eventually


def read_message(client: RawClient) -> bytes:
    """The payload of the frames up to the last one of a message."""
    payload = b""
    while True:
        frame = read_frame(client)
        payload += frame.payload
        if frame.fin:
            return payload


@pytest.mark.parametrize("path", ["/ws/slow/nested/", "/ws/slow/nested/async/"])
def test_a_message_inside_the_iterator_of_another_is_an_error(live: LiveServer, path: str) -> None:
    with open_socket(live, path) as client:
        assert read_message(client).startswith(b"one ws.send(iterator) is called inside")
        assert read_frame(client).close_code == 1000


def test_sending_with_a_time_limit_does_not_fill_the_memory(live: LiveServer, key: str) -> None:
    with RawClient(live.address, receive_buffer=4096) as client:
        assert frames.handshake(client, f"/ws/slow/impatient/?key={key}", live.netloc).status == 101
        (waiting,) = live.get_json("/notes/", key=key)
    assert 1024 * 1024 < waiting <= 1024 * 1024 + 256 * 1024 + 16


def test_a_message_held_by_another_goes_out_before_the_close(live: LiveServer, key: str) -> None:
    with open_socket(live, f"/ws/slow/held/?key={key}") as client:
        live.get_json("/notes/", key=key)
        client.send(build(TEXT, b"go"))
        live.get_json("/notes/", key=key, count=2)
        live.get_json("/release/", key=key)
        assert read_message(client) == b"one two"
        assert read_frame(client).payload == b"three"
        assert read_frame(client).close_code == 4001
        client.send(build(CLOSE, frames.close_payload(4001)))
        client.assert_closed()


def test_a_peer_that_leaves_while_its_inbox_is_full_is_noticed(
    serve_app: Callable[..., LiveServer], key: str
) -> None:
    words = options(ping_interval=SCALE / 5, ping_timeout=SCALE / 5, max_queued_messages=1)
    server = serve_app("support.project.wsgi", *words)
    with open_socket(server, f"/ws/slow/deaf/?key={key}") as client:
        server.get_json("/notes/", key=key)
        client.send(build(BINARY, bytes(1000)) * 1000)
    eventually(
        lambda: server.get_json("/ws/census/")[0] == 0, what="the connection is still counted"
    )
    server.get_json("/release/", key=key)
    _, (count, code, reason) = server.get_json("/notes/", key=key, count=2)
    assert count >= 1
    assert (code, reason) == (1006, "the peer closed the connection without a close frame")


@pytest.mark.parametrize("style", ["", "events/"])
def test_a_handler_that_does_nothing_but_send_learns_that_its_peer_is_gone(
    live: LiveServer, key: str, style: str
) -> None:
    client = open_socket(live, f"/ws/slow/talkative/{style}?key={key}")
    client.send(build(TEXT, b"talk"))
    assert read_frame(client).payload == b"here"  # a reset may overtake what was sent before it
    client.reset()
    assert live.get_json("/notes/", key=key) == [1006]


@pytest.mark.parametrize("style", ["echo", "events", "async"])
def test_a_byte_now_and_then_holds_nobody_up(live: LiveServer, style: str) -> None:
    """Each byte comes when others have talked since the one before."""
    with open_socket(live, f"/ws/{style}/") as slow, open_socket(live, f"/ws/{style}/") as other:
        for number, byte in enumerate(
            build(TEXT, b"slow") + build(CLOSE, frames.close_payload(1000))
        ):
            slow.send(bytes([byte]))
            other.send(build(TEXT, b"%d" % number))
            assert read_frame(other).payload == b"%d" % number
        assert read_frame(slow).payload == b"slow"
        assert read_frame(slow).close_code == 1000
