"""What peers send and what waits for them: rates, silence, and the memory of the process."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable

import pytest

from support.crowd import open_socket
from support.frames import BINARY, CLOSE, PING, PONG, TEXT, build, read_frame
from support.server import LiveServer, options
from support.timing import SCALE, eventually

Serve = Callable[..., LiveServer]
STYLES = ["/ws/echo/", "/ws/events/", "/ws/async/"]


def start(serve_app: Serve, **limits: float) -> LiveServer:
    return serve_app("support.project.wsgi", *options(**limits))


def test_websockets_without_messages_are_closed(serve_app: Serve, key: str) -> None:
    limit = 2.0 * SCALE
    server = start(serve_app, websocket_idle_timeout=limit)
    quiet = open_socket(server, "/ws/echo/")
    talks = open_socket(server, "/ws/events/")
    hears = open_socket(server, f"/ws/slow/teller/?key={key}")
    with quiet, talks, hears:
        began = time.monotonic()
        for number in range(10):
            quiet.send(build(PING))
            frame = read_frame(quiet)
            talks.send(build(TEXT, b"x"))
            assert read_frame(talks).payload == b"x"
            server.get_json("/release/", key=key)
            assert read_frame(hears).payload == b"%d" % number
            if frame.opcode == CLOSE:
                break
            time.sleep(limit / 6)
        assert frame.close_code == 4408
        assert limit <= time.monotonic() - began
        assert b"no message for" in frame.payload
        for _ in range(10):
            server.get_json("/release/", key=key)
    assert server.stderr.wait_for("closing websockets with 4408: no message for")


@pytest.mark.parametrize("path", STYLES)
def test_messages_over_the_rate_wait_and_then_end_the_websocket(
    serve_app: Serve, path: str
) -> None:
    patience = 1.0 * SCALE
    server = start(serve_app, max_message_rate=40, rate_patience=patience)
    with open_socket(server, path) as burst:
        burst.send(b"".join(build(TEXT, b"%d" % number) for number in range(60)))
        began = time.monotonic()
        assert [int(read_frame(burst).payload) for _ in range(60)] == list(range(60))
        assert time.monotonic() - began > 0.3
        burst.send(build(PING))
        assert read_frame(burst).opcode == PONG
    with open_socket(server, path) as flood:
        flood.send(b"".join(build(TEXT, b"%d" % number) for number in range(2000)))
        count = 0
        while (frame := read_frame(flood)).opcode == TEXT:
            assert int(frame.payload) == count
            count += 1
        assert frame.close_code == 1008
        assert 40 < count <= 40 * (patience + 4)
    assert server.stderr.wait_for("its peer has sent more than max_message_rate")


@pytest.mark.parametrize("path", STYLES)
def test_bytes_over_the_rate_wait(serve_app: Serve, path: str) -> None:
    # What the last read brings, 256 KiB at most, is waited for afterwards.
    server = start(serve_app, max_byte_rate=200_000, rate_patience=30 * SCALE)
    with open_socket(server, path) as client:
        began = time.monotonic()
        client.send(build(BINARY, bytes(900_000)))
        assert len(read_frame(client).payload) == 900_000
        assert time.monotonic() - began > (900_000 - 200_000 - 256 * 1024) / 200_000


@pytest.mark.parametrize("path", STYLES)
def test_bytes_over_the_rate_for_too_long_end_with_1008(serve_app: Serve, path: str) -> None:
    server = start(serve_app, max_byte_rate=20_000, rate_patience=SCALE / 2)
    with open_socket(server, path) as client:
        with contextlib.suppress(OSError):  # it may be over before all is sent
            for _ in range(40):
                client.send(build(BINARY, bytes(50_000)))
        frame = read_frame(client)
        while frame.opcode == BINARY:
            frame = read_frame(client)
        assert frame.close_code == 1008


def test_what_waits_for_slow_peers_is_bounded_for_the_process(serve_app: Serve, key: str) -> None:
    server = start(serve_app, max_buffered=3_000_000, send_buffer_size=2_000_000)
    path = f"/ws/topic/?topic={key}"
    slow = [open_socket(server, path, by=server.connect(4096)) for _ in range(8)]
    with open_socket(server, path) as publisher:
        assert read_frame(publisher).payload == b"subscribed"
        for _ in range(60):
            publisher.send(build(BINARY, bytes(250_000)))
            assert len(read_frame(publisher).payload) == 250_000
            with server.connect() as client:
                client.send_request("GET", "/status/200/", ("Host", server.netloc))
                answer = client.read_response()
                if answer.status == 503:
                    assert answer.get("Retry-After") == "5"
                    break
        else:
            raise AssertionError("it never was full")
        for _ in range(20):  # whoever reads is served all the same
            publisher.send(build(BINARY, bytes(250_000)))
            assert len(read_frame(publisher).payload) == 250_000
        assert server.stderr.wait_for("closing a websocket with 1008: .*all websockets' buffers")
        for client in slow:
            client.close()
        eventually(lambda: server.get("/status/200/").status == 200, what="there is room again")
    assert server.stderr.wait_for("over max_buffered=3000000")


def test_500_peers_that_do_not_read_do_not_grow_the_process(serve_app: Serve, key: str) -> None:
    """DUALWS_TEST_BROADCAST has the seconds for which is broadcast to them."""
    limit = 32 * 1024 * 1024
    seconds = float(os.environ.get("DUALWS_TEST_BROADCAST", "3"))
    server = start(serve_app, max_buffered=limit, send_timeout=300)
    path = f"/ws/topic/?topic={key}"
    slow = [open_socket(server, path, by=server.connect(4096)) for _ in range(500)]
    with open_socket(server, path) as publisher:
        assert read_frame(publisher).payload == b"subscribed"
        publisher.send(build(BINARY, bytes(1)))
        assert read_frame(publisher).payload == bytes(1)
        before = server.rss()
        message = build(BINARY, bytes(64 * 1024))
        sent = 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            publisher.send(message)
            assert len(read_frame(publisher).payload) == 64 * 1024
            sent += 1
        grown = server.peak_rss() - before
    for client in slow:
        client.close()
    figures = f"{sent} messages of 64 KiB took {grown / 1024**2:.1f} MiB"
    assert grown < limit + 24 * 1024 * 1024, figures


def test_a_peer_that_reads_slowly_is_told_from_one_that_does_not(serve_app: Serve) -> None:
    limit = 0.5 * SCALE
    server = start(serve_app, send_timeout=limit)
    size = 6_000_000
    with open_socket(server, f"/ws/big/?size={size}", by=server.connect(4096)) as client:
        assert client.read(10)[:2] == b"\x82\x7f"
        read = 0
        end = time.monotonic() + 4 * limit
        while time.monotonic() < end:
            read += len(client.read(20_000))
            time.sleep(limit / 20)
        assert read < size / 2, "too fast to prove anything"
        assert len(client.read(size - read)) == size - read
        assert read_frame(client).close_code == 1000
    with open_socket(server, f"/ws/big/?size={size}", by=server.connect(4096)):
        assert server.stderr.wait_for("closing a websocket with 1008: the peer reads too slowly")
