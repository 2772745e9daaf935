"""The three styles of handler, where they differ: calls, exclusivity, what an idle one holds."""

from __future__ import annotations

from collections.abc import Callable

from support import frames
from support.crowd import open_socket
from support.frames import CLOSE, PING, PONG, TEXT, build, read_frame
from support.server import LiveServer


def test_every_event_is_told_in_order_and_the_end_once(live: LiveServer, key: str) -> None:
    path = f"/ws/events/told/blue/?key={key}"
    with open_socket(live, path, ("Sec-WebSocket-Protocol", "chat.v1")) as client:
        assert read_frame(client) == frames.Frame(PING, b"and you?")
        client.send(build(PONG, b"and you?") + build(TEXT, b"hello") + build(PONG, b"unasked"))
        client.send(build(CLOSE, frames.close_payload(4000, "bye")))
        assert read_frame(client).close_code == 4000
        client.assert_closed()
    assert live.get_json("/notes/", key=key) == [
        [
            "init",
            ["opened", "blue", "chat.v1"],
            ["ponged", "and you?"],
            "hello",
            ["ponged", "unasked"],
            ["closed", 4000, "bye"],
        ]
    ]


def test_an_exception_in_an_event_closes_with_1011_and_is_told(live: LiveServer, key: str) -> None:
    with open_socket(live, f"/ws/events/told/blue/?key={key}") as client:
        assert read_frame(client).opcode == PING
        client.send(build(TEXT, b"crash") + build(TEXT, b"never seen"))
        assert read_frame(client).close_code == 1011
    live.expect_traceback("an event handler's own bug")
    (said,) = live.get_json("/notes/", key=key)
    assert said[-1][:2] == ["closed", 1011]
    assert "never seen" not in said


def test_calls_of_one_connection_never_overlap_and_keep_their_order(live: LiveServer) -> None:
    clients = [open_socket(live, "/ws/events/careful/") for _ in range(20)]
    for i in range(50):
        for client in clients:
            client.send(build(TEXT, b"%d" % i))
    for client in clients:
        got = [read_frame(client).payload.decode() for _ in range(50)]
        assert got == [f"{i}:{i + 1}:1" for i in range(50)]
        client.close()


def test_async_receive_times_out_without_losing_a_message(live: LiveServer) -> None:
    with open_socket(live, "/ws/async/timeout/") as client:
        assert read_frame(client).payload == b"nothing came"
        client.send(build(TEXT, b"and on it goes"))
        assert read_frame(client).payload == b"and on it goes"
        end = read_frame(client)
        assert (end.close_code, end.close_reason) == (4002, "enough")


def test_an_exception_in_a_coroutine_closes_with_1011(live: LiveServer) -> None:
    with open_socket(live, "/ws/async/crash/") as client:
        client.send(build(TEXT, b"x"))
        assert read_frame(client).close_code == 1011
    live.expect_traceback("a coroutine's own bug")


def test_an_async_send_to_a_peer_that_never_reads_times_out(
    serve_app: Callable[..., LiveServer], key: str
) -> None:
    server = serve_app("support.project.wsgi", "--send-timeout", "0.3", "--close-timeout", "0.3")
    with open_socket(server, f"/ws/async/flood/?key={key}"):
        assert server.get_json("/notes/", key=key) == [["SendTimeout", 1008]]
