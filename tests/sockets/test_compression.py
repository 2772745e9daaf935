"""permessage-deflate on the wire, with a raw client and with libraries (RFC 7692)."""

from __future__ import annotations

import asyncio
import random
import threading
import zlib
from collections.abc import Callable

import aiohttp
import pytest
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect

from support import frames
from support.frames import BINARY, CLOSE, CONTINUATION, PING, TEXT, build, read_frame
from support.raw import Head, RawClient
from support.server import LiveServer
from support.timing import TIMEOUT

OFFER = ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")
TAIL = b"\x00\x00\xff\xff"
ECHOES = ["/ws/echo/", "/ws/inside/", "/ws/compression/async/"]
STORY = "".join(random.Random(1).choices("abcdefgh ", k=20_000))


def open_socket(server: LiveServer, path: str, *offers: tuple[str, str]) -> tuple[RawClient, Head]:
    client = server.connect()
    head = frames.handshake(client, path, server.netloc, *offers)
    return client, head


def packed(payload: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-12, level=9)
    data = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return data.removesuffix(TAIL)


def unpacked(frame: frames.Frame) -> bytes:
    assert frame.rsv == 4, frame
    return zlib.decompressobj(-12).decompress(frame.payload + TAIL)


def test_the_answer_to_an_offer(live: LiveServer) -> None:
    client, head = open_socket(live, "/ws/echo/", OFFER)
    with client:
        assert head.get("Sec-WebSocket-Extensions") == (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
            "server_max_window_bits=12; client_max_window_bits=12"
        )


@pytest.mark.parametrize(
    "offers",
    [
        [],
        [("Sec-WebSocket-Extensions", "x-unknown")],
        [("Sec-WebSocket-Extensions", "permessage-deflate; server_max_window_bits=7")],
    ],
)
def test_without_an_offer_to_accept_nothing_is_compressed(
    live: LiveServer, offers: list[tuple[str, str]]
) -> None:
    client, head = open_socket(live, "/ws/compression/choose/", *offers)
    with client:
        assert head.status == 101
        assert head.get("Sec-WebSocket-Extensions") is None
        client.send(build(TEXT, b"yes 5000"))
        assert read_frame(client) == frames.Frame(TEXT, b"x" * 5000)
        client.send(build(TEXT, b"yes 1", rsv=4))
        refused = read_frame(client)
        assert (refused.opcode, refused.close_code) == (CLOSE, 1002)


def test_offers_in_several_headers_are_one_list(live: LiveServer) -> None:
    second = ("Sec-WebSocket-Extensions", "permessage-deflate; server_max_window_bits=9")
    client, head = open_socket(
        live, "/ws/echo/", ("Sec-WebSocket-Extensions", "permessage-deflate; what"), second
    )
    with client:
        assert "server_max_window_bits=9" in (head.get("Sec-WebSocket-Extensions") or "")


def test_a_malformed_header_is_a_bad_handshake(live: LiveServer) -> None:
    client, head = open_socket(live, "/ws/echo/", ("Sec-WebSocket-Extensions", "a b"))
    with client:
        assert head.status == 400


@pytest.mark.parametrize("path", ECHOES)
def test_compressed_messages_both_ways(live: LiveServer, path: str) -> None:
    text = STORY.encode()
    data = packed(text)
    client, _ = open_socket(live, path, OFFER)
    with client:
        client.send(build(TEXT, data, rsv=4))
        answer = read_frame(client)
        assert (answer.opcode, unpacked(answer)) == (TEXT, text)
        assert len(answer.payload) < len(text) * 0.6
        # and in fragments, cut anywhere
        client.send(build(BINARY, data[:7], rsv=4, fin=False) + build(0, data[7:]))
        answer = read_frame(client)
        assert (answer.opcode, unpacked(answer)) == (BINARY, text)


def test_each_message_has_its_choice(live: LiveServer) -> None:
    client, _ = open_socket(live, "/ws/compression/choose/", OFFER)
    with client:
        for choice, size, rsv in [
            ("auto", 1023, 0),
            ("auto", 1024, 4),
            ("yes", 10, 4),
            ("yes", 0, 4),
            ("no", 5000, 0),
        ]:
            client.send(build(TEXT, f"{choice} {size}".encode()))
            answer = read_frame(client)
            assert answer.rsv == rsv, (choice, size)
            text = unpacked(answer) if rsv else answer.payload
            assert text == b"x" * size


def test_what_handlers_of_ws4py_send_follows_the_same_rules(live: LiveServer) -> None:
    path = "/ws/compression/ws4py/"
    client, _ = open_socket(live, path, OFFER)
    with client:
        for kind, opcode in (("text", TEXT), ("binary", BINARY), ("message", TEXT)):
            client.send(build(TEXT, f"{kind} 5000".encode()))
            large = read_frame(client)
            assert (large.opcode, unpacked(large)) == (opcode, b"x" * 5000)
            client.send(build(TEXT, f"{kind} 100".encode()))
            assert read_frame(client) == frames.Frame(opcode, b"x" * 100)
        client.send(build(TEXT, b"chunks 5000"))
        first, last = read_frame(client), read_frame(client)
        assert (first.opcode, first.rsv, first.fin) == (TEXT, 4, False)
        assert (last.opcode, last.rsv, last.fin) == (CONTINUATION, 0, True)
        whole = zlib.decompressobj(-12).decompress(first.payload + last.payload + TAIL)
        assert whole == b"x" * 5000 + b"y"
        client.send(build(TEXT, b"ping 5"))
        assert read_frame(client) == frames.Frame(PING, b"xxxxx")
    client, _ = open_socket(live, path)
    with client:
        client.send(build(TEXT, b"binary 5000"))
        assert read_frame(client) == frames.Frame(BINARY, b"x" * 5000)


@pytest.mark.parametrize("path", ["/ws/compression/never/", "/ws/compression/inside/"])
def test_a_view_may_decline(live: LiveServer, path: str) -> None:
    client, head = open_socket(live, path, OFFER)
    with client:
        assert head.get("Sec-WebSocket-Extensions") is None
        client.send(build(TEXT, b"x" * 5000))
        assert read_frame(client) == frames.Frame(TEXT, b"x" * 5000)


def test_a_bomb_ends_with_1009_and_costs_little(live: LiveServer) -> None:
    bomb = packed(bytes(200 * 1024 * 1024))
    client, _ = open_socket(live, "/ws/echo/", OFFER)
    with client:
        before = live.peak_rss()
        client.send(build(BINARY, bomb, rsv=4))
        answer = read_frame(client)
        assert (answer.opcode, answer.close_code) == (CLOSE, 1009)
        assert live.peak_rss() - before < 8 * 1024 * 1024


@pytest.mark.parametrize(
    ("opcode", "payload"), [(BINARY, b"\xff" * 20), (TEXT, packed(b"\xff")), (TEXT, b"\x06")]
)
def test_bad_data_ends_with_1007_after_the_good(
    live: LiveServer, opcode: int, payload: bytes
) -> None:
    client, _ = open_socket(live, "/ws/echo/", OFFER)
    with client:
        client.send(build(TEXT, packed(b"good"), rsv=4) + build(opcode, payload, rsv=4))
        assert read_frame(client) == frames.Frame(TEXT, b"good")
        assert read_frame(client).close_code == 1007


def test_what_is_published_is_compressed_for_those_who_agreed(live: LiveServer) -> None:
    path = "/ws/topic/?topic=compression"
    plain, _ = open_socket(live, path)
    agreed, _ = open_socket(live, path, OFFER)
    with plain, agreed:
        for client in (plain, agreed):
            assert read_frame(client).payload == b"subscribed"
        live.get("/ws/publish/", topic="compression", data="x" * 3000)
        assert read_frame(plain) == frames.Frame(TEXT, b"x" * 3000)
        assert unpacked(read_frame(agreed)) == b"x" * 3000


def test_the_setting_switches_it_off_and_a_view_on_again(
    serve_app: Callable[..., LiveServer],
) -> None:
    server = serve_app("support.project.wsgi", "--no-compression")
    client, head = open_socket(server, "/ws/echo/", OFFER)
    with client:
        assert head.get("Sec-WebSocket-Extensions") is None
    client, head = open_socket(server, "/ws/compression/always/", OFFER)
    with client:
        assert head.get("Sec-WebSocket-Extensions") is not None


def test_context_takeover_keeps_the_order_of_those_who_send(
    serve_app: Callable[..., LiveServer],
) -> None:
    server = serve_app(
        "support.project.wsgi", "--compression-context-takeover", "--compression-threshold", "0"
    )
    publishers, each = 4, 25
    url = server.url("/ws/topic/?topic=order", "ws")
    offer = ClientPerMessageDeflateFactory(client_max_window_bits=True)
    with connect(url, extensions=[offer]) as client:
        assert client.recv(timeout=TIMEOUT) == "subscribed"

        def publish(number: int) -> None:
            for index in range(each):
                server.get("/ws/publish/", topic="order", data=f"{STORY[:3000]} {number} {index}")

        threads = [threading.Thread(target=publish, args=(number,)) for number in range(publishers)]
        for thread in threads:
            thread.start()
        got = [str(client.recv(timeout=TIMEOUT)) for _ in range(publishers * each)]
        for thread in threads:
            thread.join(TIMEOUT)
    assert all(text.startswith(STORY[:3000]) for text in got)
    last = [[int(text.split()[-1]) for text in got if text.split()[-2] == str(n)] for n in range(4)]
    assert last == [list(range(each))] * publishers


# -- libraries ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "offer",
    [
        ClientPerMessageDeflateFactory(client_max_window_bits=True),
        ClientPerMessageDeflateFactory(),
        ClientPerMessageDeflateFactory(True, True, 9, 9),
        ClientPerMessageDeflateFactory(server_max_window_bits=8),
        ClientPerMessageDeflateFactory(server_max_window_bits=15, client_max_window_bits=15),
    ],
    ids=["its default", "bare", "all", "window 8", "window 15"],
)
@pytest.mark.parametrize("options", [(), ("--compression-context-takeover",)], ids=["", "takeover"])
def test_the_library_websockets(
    live: LiveServer,
    serve_app: Callable[..., LiveServer],
    offer: ClientPerMessageDeflateFactory,
    options: tuple[str, ...],
) -> None:
    server = serve_app("support.project.wsgi", *options) if options else live
    with connect(server.url("/ws/echo/", "ws"), extensions=[offer], max_size=None) as client:
        assert [each.name for each in client.protocol.extensions] == ["permessage-deflate"]
        for message in ("short", STORY, STORY.encode(), "", random.Random(2).randbytes(300_000)):
            for _ in range(2):
                client.send(message)
                assert client.recv(timeout=TIMEOUT) == message
        client.send([STORY[:10], STORY[10:500], STORY[500:]])
        assert client.recv(timeout=TIMEOUT) == STORY


@pytest.mark.parametrize("bits", [9, 15])
def test_the_library_aiohttp(live: LiveServer, bits: int) -> None:
    async def talk() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(live.url("/ws/echo/"), compress=bits) as client,
        ):
            assert client.compress
            for message in ("short", STORY, STORY * 20):
                await client.send_str(message)
                assert await client.receive_str(timeout=TIMEOUT) == message
            await client.send_bytes(STORY.encode())
            assert await client.receive_bytes(timeout=TIMEOUT) == STORY.encode()

    asyncio.run(talk())
