"""Large frames that come in small pieces, as from any network: they are collected by the system."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support import frames
from support.crowd import open_socket
from support.frames import BINARY, TEXT, build, read_frame
from support.raw import RawClient
from support.server import LiveServer, options
from support.timing import SCALE

SIZE = 512 * 1024
PIECE = 512
STYLES = ["/ws/echo/", "/ws/events/", "/ws/async/"]


def naps(server: LiveServer) -> int:
    """How often its threads have gone to sleep so far (Linux)."""
    return sum(
        int(re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", status.read_text(), re.M)[0])
        for status in Path(f"/proc/{server.pid}/task").glob("*/status")
    )


def trickle(client: RawClient, data: bytes, piece: int, pause: float) -> None:
    """Send *data* in pieces."""
    for start in range(0, len(data), piece):
        client.send(data[start : start + piece])
        time.sleep(pause)


@pytest.mark.parametrize("path", STYLES)
def test_a_large_frame_in_small_pieces_wakes_nobody_for_each(live: LiveServer, path: str) -> None:
    payload = bytes(range(256)) * (SIZE // 256)
    with open_socket(live, path) as client:
        client.send(build(TEXT, b"first"))
        assert read_frame(client).payload == b"first"
        before = naps(live)
        trickle(client, build(BINARY, payload), PIECE, 0.0001)
        assert read_frame(client) == frames.Frame(BINARY, payload)
        assert naps(live) - before < SIZE // PIECE // 4
        client.send(build(TEXT, b"short"))  # which comes as soon as ever
        assert read_frame(client).payload == b"short"


@pytest.fixture
def strict(serve_app: Callable[..., LiveServer]) -> LiveServer:
    """Gives up who is silent for a moment."""
    words = options(ping_interval=SCALE / 5, ping_timeout=SCALE / 5)
    return serve_app("support.project.wsgi", *words)


@pytest.mark.parametrize("path", STYLES)
def test_who_sends_a_large_frame_slowly_is_not_silent(strict: LiveServer, path: str) -> None:
    message = build(BINARY, bytes(SIZE))
    with open_socket(strict, path) as client:
        trickle(client, message[:100], 2, SCALE / 50)
        client.send(message[100:])
        frame = read_frame(client)
        while frame.opcode == frames.PING:
            frame = read_frame(client)
        assert frame == frames.Frame(BINARY, bytes(SIZE))


def test_what_is_wrong_in_a_large_frame_does_not_wait_for_its_end(strict: LiveServer) -> None:
    with open_socket(strict, "/ws/echo/") as client:
        trickle(client, build(TEXT, b"good" * 100, length=SIZE), 40, SCALE / 1000)
        client.send(bytes([0xFF ^ 0x12]))  # masked
        frame = read_frame(client)
        while frame.opcode == frames.PING:
            frame = read_frame(client)
        assert frame.close_code == 1007
