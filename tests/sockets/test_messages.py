"""Messages, control frames and ends over real sockets, with a raw client and with libraries."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import struct
import threading
from collections.abc import Callable, Iterator

import aiohttp
import pytest
import websocket as websocket_client
from websockets.sync.client import connect

from support import frames
from support.crowd import open_socket
from support.frames import BINARY, CLOSE, PING, PONG, TEXT, build, read_frame
from support.raw import RawClient
from support.server import LiveServer
from support.timing import TIMEOUT

STYLES = ["/ws/echo/", "/ws/inside/", "/ws/events/", "/ws/ws4py/", "/ws/async/"]


@pytest.fixture(params=STYLES)
def path(request: pytest.FixtureRequest) -> str:
    """An echo in each style of view."""
    style: str = request.param
    return style


@pytest.fixture
def client(live: LiveServer, path: str) -> Iterator[RawClient]:
    """A raw websocket to an echo."""
    with open_socket(live, path) as raw:
        yield raw


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 1024 * 1024])
def test_messages_of_every_size(client: RawClient, size: int) -> None:
    payload = random.Random(size).randbytes(size)
    client.send(build(BINARY, payload))
    assert read_frame(client) == frames.Frame(BINARY, payload)
    text = ("ü" * (size // 2)).encode()
    client.send(build(TEXT, text))
    assert read_frame(client) == frames.Frame(TEXT, text)


def test_fragments_with_control_frames_between(client: RawClient) -> None:
    client.send(build(TEXT, b"one ", fin=False) + build(PING, b"p") + build(0, b"two", fin=False))
    assert read_frame(client) == frames.Frame(PONG, b"p")
    client.send(build(PONG, b"unasked") + build(0, b" three"))
    assert read_frame(client) == frames.Frame(TEXT, b"one two three")


def test_one_byte_at_a_time(client: RawClient) -> None:
    data = build(TEXT, "süß".encode()) + build(PING, b"x") + build(BINARY, bytes(200))
    for byte in data:
        client.send(bytes([byte]))
    got = [read_frame(client) for _ in range(3)]
    # The pong may overtake what the handler sends.
    got.remove(frames.Frame(PONG, b"x"))
    assert got == [frames.Frame(TEXT, "süß".encode()), frames.Frame(BINARY, bytes(200))]


def test_many_messages_in_one_packet_keep_their_order(client: RawClient) -> None:
    client.send(b"".join(build(TEXT, b"%d" % i) for i in range(1000)))
    assert [int(read_frame(client).payload) for _ in range(1000)] == list(range(1000))


def test_the_order_holds_for_connections_side_by_side(live: LiveServer) -> None:
    clients = [open_socket(live, "/ws/echo/") for _ in range(20)]
    for i in range(50):
        for number, client in enumerate(clients):
            client.send(build(TEXT, b"%d-%d" % (number, i)))
    for number, client in enumerate(clients):
        got = [read_frame(client).payload for _ in range(50)]
        assert got == [b"%d-%d" % (number, i) for i in range(50)]
        client.close()


@pytest.mark.parametrize("view", ["busy/", "slow/busy/events/", "slow/busy/async/"])
def test_pings_are_answered_while_the_view_is_busy(live: LiveServer, key: str, view: str) -> None:
    with open_socket(live, f"/ws/{view}?key={key}") as client:
        assert live.get_json("/notes/", key=key) == ["busy"]
        client.send(build(PING, b"are you there?"))
        assert read_frame(client) == frames.Frame(PONG, b"are you there?")
        client.send(build(TEXT, b"later"))
        live.get_json("/release/", key=key)
        assert read_frame(client).payload == b"later"


def test_the_close_is_answered_while_the_view_is_busy(live: LiveServer, key: str) -> None:
    with open_socket(live, f"/ws/busy/?key={key}") as client:
        assert live.get_json("/notes/", key=key) == ["busy"]
        client.send(build(TEXT, b"unread") + build(CLOSE, frames.close_payload(4000, "bored")))
        answer = read_frame(client)
        assert (answer.close_code, answer.close_reason) == (4000, "bored")
        client.assert_closed()
        live.get_json("/release/", key=key)


@pytest.mark.parametrize(
    ("payload", "code", "reason"),
    [
        (frames.close_payload(1000, "bye"), 1000, "bye"),
        (frames.close_payload(1001), 1001, ""),
        (frames.close_payload(4999, "é"), 4999, "é"),
        (b"", None, ""),
    ],
)
def test_the_peers_code_and_reason_arrive_and_are_echoed(
    live: LiveServer, key: str, payload: bytes, code: int | None, reason: str
) -> None:
    with open_socket(live, f"/ws/echo/?key={key}") as client:
        client.send(build(CLOSE, payload))
        assert read_frame(client).payload == payload
        client.assert_closed()
    assert live.get_json("/notes/", key=key) == [[code or 1005, reason]]


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1012, "restart"), (4321, "grüße")])
def test_the_views_code_and_reason_reach_the_peer(
    live: LiveServer, key: str, code: int, reason: str
) -> None:
    with open_socket(live, f"/ws/bye/?key={key}") as client:
        client.send(build(TEXT, f"{code} {reason}".encode()))
        frame = read_frame(client)
        assert (frame.close_code, frame.close_reason) == (code, reason)
        client.send(build(CLOSE, frame.payload))
        client.assert_closed()
    assert live.get_json("/notes/", key=key) == [[True, None, code, reason]]


def test_a_view_that_returns_closes_with_1000(live: LiveServer) -> None:
    with open_socket(live, "/ws/returns/") as client:
        assert read_frame(client).payload == b"first and last"
        assert read_frame(client).close_code == 1000
        client.send(build(CLOSE, frames.close_payload(1000)))
        client.assert_closed()


@pytest.mark.parametrize(
    ("path", "bug"), [("/ws/crash/", "handler's own bug"), ("/ws/inside/crash/", "bug inside")]
)
def test_a_view_that_raises_closes_with_1011_and_is_logged(
    live: LiveServer, path: str, bug: str
) -> None:
    with open_socket(live, path) as client:
        client.send(build(TEXT, b"x"))
        assert read_frame(client).close_code == 1011
        client.send(build(CLOSE, frames.close_payload(1011)))
        client.assert_closed()
    live.expect_traceback(bug)


def test_queued_messages_are_answered_before_the_close(client: RawClient) -> None:
    client.send(b"".join(build(TEXT, b"%d" % i) for i in range(20)) + build(CLOSE))
    assert [int(read_frame(client).payload) for _ in range(20)] == list(range(20))
    assert read_frame(client).opcode == CLOSE
    client.assert_closed()


BAD = {
    "unmasked": (build(TEXT, b"x", mask=None), 1002),
    "rsv1": (build(TEXT, b"x", rsv=4), 1002),
    "rsv2": (build(TEXT, b"x", rsv=2), 1002),
    "rsv3": (build(TEXT, b"x", rsv=1), 1002),
    "opcode 3": (build(3, b"x"), 1002),
    "opcode 11": (build(11, b"x"), 1002),
    "ping over 125 bytes": (build(PING, bytes(126)), 1002),
    "fragmented ping": (build(PING, b"x", fin=False), 1002),
    "continuation without a start": (build(0, b"x"), 1002),
    "message inside a message": (build(TEXT, b"x", fin=False) + build(TEXT, b"y"), 1002),
    "length 2^63": (build(BINARY, length=1 << 63), 1002),
    "length 2^63-1": (build(BINARY, length=(1 << 63) - 1), 1009),
    "not UTF-8": (build(TEXT, b"\xff"), 1007),
    "over the limit": (build(BINARY, length=1024 * 1024 + 1), 1009),
    "close code 1005": (build(CLOSE, struct.pack("!H", 1005)), 1002),
    "close of one byte": (build(CLOSE, b"\x03"), 1002),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_frames_end_only_their_connection_and_after_the_good_ones(
    live: LiveServer, client: RawClient, name: str
) -> None:
    bad, code = BAD[name]
    with open_socket(live, "/ws/echo/") as other:
        client.send(build(TEXT, b"good 1") + build(TEXT, b"good 2") + bad)
        assert read_frame(client).payload == b"good 1"
        assert read_frame(client).payload == b"good 2"
        assert read_frame(client).close_code == code
        client.assert_closed()
        other.send(build(TEXT, b"unharmed"))
        assert read_frame(other).payload == b"unharmed"


@pytest.mark.parametrize("how", ["reset", "half-close", "vanish in a frame", "close"])
@pytest.mark.parametrize("path", STYLES)
def test_a_peer_that_goes_ends_the_view_once(
    live: LiveServer, path: str, key: str, how: str
) -> None:
    client = open_socket(live, f"{path}?key={key}")
    if how == "reset":
        client.reset()
    elif how == "half-close":
        client.finish_sending()
        client.assert_closed()
    elif how == "vanish in a frame":
        client.send(build(TEXT, b"incomplete")[:9])
        client.close()
    else:
        client.close()
    (end,) = live.get_json("/notes/", key=key)
    assert end[0] == 1006
    client.close()


def test_a_peer_that_never_reads_is_closed_with_1008(
    serve_app: Callable[..., LiveServer], key: str
) -> None:
    server = serve_app("support.project.wsgi", "--send-timeout", "0.3", "--close-timeout", "0.3")
    with open_socket(server, f"/ws/flood/?key={key}"):
        assert server.get_json("/notes/", key=key) == [["SendTimeout", 1008]]
    assert server.stderr.wait_for("reads too slowly") is not None


def test_a_large_message_reaches_a_slow_reader_whole(live: LiveServer) -> None:
    size = 20_000_000
    with live.connect() as client:
        client.sock.setsockopt(6, 1, 1)
        assert frames.handshake(client, f"/ws/big/?size={size}", live.netloc).status == 101
        frame = read_frame(client)
        assert frame.payload == b"x" * size
        assert read_frame(client).close_code == 1000


def test_silence_is_pinged_and_a_dead_peer_given_up(
    serve_app: Callable[..., LiveServer], key: str
) -> None:
    server = serve_app("support.project.wsgi", "--ping-interval", "0.4", "--ping-timeout", "0.4")
    with open_socket(server, f"/ws/echo/?key={key}") as client:
        for _ in range(3):
            assert read_frame(client).opcode == PING
            client.send(build(PONG))
        assert read_frame(client).opcode == PING
        assert read_frame(client).close_code == 1011
    assert server.get_json("/notes/", key=key)[0][0] == 1011


def test_receive_with_a_timeout(live: LiveServer) -> None:
    with open_socket(live, "/ws/timeout/") as client:
        assert read_frame(client).payload == b"nothing came"
        client.send(build(TEXT, b"and on it goes"))
        assert read_frame(client).payload == b"and on it goes"


def test_wrong_arguments_are_refused_and_harm_nothing(live: LiveServer) -> None:
    with open_socket(live, "/ws/misuse/") as client:
        assert json.loads(read_frame(client).payload) == [
            "TypeError",
            "TypeError",
            *["ValueError"] * 5,
        ]


def test_topics(live: LiveServer, key: str) -> None:
    path = f"/ws/topic/?topic={key}"
    with open_socket(live, path) as one, open_socket(live, path) as two:
        for client in (one, two):
            assert read_frame(client).payload == b"subscribed"
        one.send(build(TEXT, b"to all"))
        for client in (one, two):
            assert read_frame(client).payload == b"to all"
        assert live.get("/ws/publish/", topic=key, data="by HTTP").body == b"2"
        for client in (one, two):
            assert read_frame(client).payload == b"by HTTP"
        two.send(build(CLOSE))
        assert read_frame(two).opcode == CLOSE
        two.assert_closed()
        assert live.get("/ws/publish/", topic=key, data="one left").body == b"1"


def test_topics_keep_the_order_of_each_who_publishes(live: LiveServer, key: str) -> None:
    """Between the messages that the handler sends itself; that of others is their own."""
    count = 300
    people = ("ada", "bob", "eve")
    with contextlib.ExitStack() as sockets:
        clients = {
            who: sockets.enter_context(open_socket(live, f"/ws/topic/own/?topic={key}&who={who}"))
            for who in people
        }
        for client in clients.values():
            assert read_frame(client).payload == b"subscribed"
        for client in clients.values():
            client.send(build(TEXT, b"%d" % count))
        for who, client in clients.items():
            got = [read_frame(client).payload.decode() for _ in range(count * (len(people) + 1))]
            for other in people:
                assert [text for text in got if text.startswith(other)] == [
                    f"{other} {number}" for number in range(count)
                ]
            assert [text for text in got if text.startswith(("own", who))] == [
                f"{said} {number}" for number in range(count) for said in ("own", who)
            ]


# -- libraries -------------------------------------------------------------------


def test_the_library_websockets(live: LiveServer, path: str) -> None:
    with connect(live.url(path, "ws"), subprotocols=["chat.v1"], max_size=None) as client:
        for message in ("text", b"binary", "x" * 100_000):
            client.send(message)
            assert client.recv(timeout=TIMEOUT) == message
        client.send(["in ", "frag", "ments"])
        assert client.recv(timeout=TIMEOUT) == "in fragments"
        assert client.ping().wait(TIMEOUT)
    assert client.close_code == 1000


def test_the_library_aiohttp(live: LiveServer, path: str) -> None:
    async def talk() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(live.url(path)) as client,
        ):
            await client.send_str("text")
            assert await client.receive_str(timeout=TIMEOUT) == "text"
            await client.send_bytes(b"binary")
            assert await client.receive_bytes(timeout=TIMEOUT) == b"binary"
            await client.close(code=4004)
        assert client.close_code == 4004

    asyncio.run(talk())


def test_the_library_websocket_client(live: LiveServer, path: str) -> None:
    client = websocket_client.create_connection(live.url(path, "ws"), timeout=TIMEOUT)
    client.send("text")
    assert client.recv() == "text"
    client.send_binary(b"binary")
    assert client.recv() == b"binary"
    client.close(status=1001)


def test_a_hundred_clients_at_once(live: LiveServer) -> None:
    failures: list[BaseException] = []

    def talk(number: int) -> None:
        try:
            with connect(live.url("/ws/echo/", "ws")) as client:
                for i in range(10):
                    client.send(f"{number}-{i}")
                    assert client.recv(timeout=TIMEOUT) == f"{number}-{i}"
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT * 2)
    assert failures == []
