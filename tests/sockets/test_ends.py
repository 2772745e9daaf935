"""A handler's end is its own: whatever it raises, its peer is told and no other notices."""

from __future__ import annotations

import uuid

import pytest

from support.crowd import open_socket
from support.frames import TEXT, build, read_frame
from support.raw import RawClient
from support.server import LiveServer


def echoes(client: RawClient) -> bool:
    client.send(build(TEXT, b"still here"))
    return read_frame(client).payload == b"still here"


@pytest.mark.parametrize("style", ["blocking", "events", "async", "inside"])
def test_sys_exit_in_a_handler_ends_nothing_but_its_websocket(live: LiveServer, style: str) -> None:
    key = uuid.uuid4().hex
    with (
        open_socket(live, "/ws/echo/") as other,
        open_socket(live, "/ws/async/") as other_async,
        open_socket(live, f"/ws/ends/{style}/?key={key}") as client,
    ):
        assert echoes(other)
        assert echoes(other_async)
        client.send(build(TEXT, b"exit"))
        end = read_frame(client)
        assert (end.close_code, end.close_reason) == (1011, "the handler failed")
        live.expect_traceback(f"SystemExit: {style}")
        assert echoes(other)
        assert echoes(other_async)
        if style == "events":
            assert live.get_json("/notes/", key=key) == [[1011, "the handler failed"]]


def test_sys_exit_in_a_task_ends_nothing_but_the_task(live: LiveServer) -> None:
    with open_socket(live, "/ws/async/") as other, open_socket(live, "/ws/ends/task/") as client:
        assert echoes(other)
        client.send(build(TEXT, b"exit"))
        live.expect_traceback("SystemExit: task")
        client.send(build(TEXT, b"and on"))
        assert read_frame(client).payload == b"and on after SystemExit('task')"
        assert echoes(other)


@pytest.mark.parametrize("sent", [True, False])
def test_sys_exit_in_a_task_that_receives_leaves_its_websocket_whole(
    live: LiveServer, key: str, sent: bool
) -> None:
    with open_socket(live, "/ws/async/") as other:
        with open_socket(live, f"/ws/ends/reader/?key={key}") as client:
            if sent:
                client.send(build(TEXT, b"exit"))
                live.expect_traceback("SystemExit: reader: exit")
                client.send(build(TEXT, b"and on"))
                assert read_frame(client).payload == b"and on"
            else:
                client.reset()
                live.expect_traceback("SystemExit: reader: None")
        # Nothing of how the transport came to call it shows in the exception.
        said = [f"SystemExit('reader: {'exit' if sent else None}')", "None"]
        assert live.get_json("/notes/", key=key) == [said]
        assert echoes(other)


def test_a_handler_that_cannot_be_made_closes_its_websocket(live: LiveServer) -> None:
    with open_socket(live, "/ws/ends/unmade/") as client:
        assert read_frame(client).close_code == 1011
    live.expect_traceback("ws4py's handler cannot be made")
