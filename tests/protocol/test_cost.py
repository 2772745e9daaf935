"""What large messages cost: time in proportion to their size, memory for themselves."""

from __future__ import annotations

import ast
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

from dualws import protocol
from dualws.protocol.stream import Stream

MIB = 1 << 20
PIECE = bytes(64 * 1024)
TEXT, BINARY, CONTINUATION, FIN = 0x01, 0x02, 0x00, 0x80
#: A masking key that changes every byte.
KEY = b"\x37\xfa\x21\x3d"


def header(first: int, size: int) -> bytes:
    return bytes([first, 0xFF]) + size.to_bytes(8, "big") + KEY


def receive(size: int, frames: int) -> bytes:
    """The message of *size* bytes that comes in that many frames, 64 KiB at a time."""
    stream = Stream(size)
    each = size // frames
    for number in range(frames):
        first = CONTINUATION if number else BINARY
        last = number == frames - 1
        events = list(stream.feed(header(first | (FIN if last else 0), each)))
        for _ in range(each // len(PIECE)):
            assert events == []
            events = list(stream.feed(PIECE))
    (message,) = events
    assert isinstance(message, bytes)
    return message


def seconds(function: Callable[[], object]) -> float:
    """Processor time of this process for a call, the least of three."""
    times = []
    for _ in range(3):
        begin = time.process_time()
        function()
        times.append(time.process_time() - begin)
    return min(times)


@pytest.mark.parametrize("frames", [1, 64])
def test_a_message_of_64_mib_arrives(frames: int) -> None:
    message = receive(64 * MIB, frames)
    assert len(message) == 64 * MIB
    assert message[:4] == message[-4:] == KEY


@pytest.mark.parametrize("frames", [1, 16])
def test_a_message_in_a_thousand_pieces_costs_linear_time(frames: int) -> None:
    pieces = [PIECE] * 1024
    once = seconds(lambda: bytearray(b"".join(pieces)))
    # Where every piece copies what came before it, it is hundreds of times as much.
    assert seconds(lambda: receive(64 * MIB, frames)) < 30 * max(once, 0.01)


@pytest.mark.parametrize("frames", [1, 16])
def test_a_message_that_comes_in_pieces_is_copied_once(frames: int) -> None:
    tracemalloc.start()
    try:
        receive(16 * MIB, frames)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The pieces, and the message that is made of them.
    assert peak < 2.3 * 16 * MIB


@pytest.mark.parametrize("size", [64, 1024])
@pytest.mark.parametrize("first", [BINARY, TEXT])
def test_a_short_fragment_is_taken_without_a_call_for_each_rule(first: int, size: int) -> None:
    many = 1000
    head = bytes([0, 0x80 | size]) if size < 126 else b"\0\xfe" + size.to_bytes(2, "big")
    stream = Stream(MIB)
    stream.feed(bytes([first, 0x80]) + KEY)
    data = (head + bytes(4) + bytes(size)) * many
    called: list[str] = []

    def note(frame: FrameType, event: str, arg: object) -> None:
        if event == "call":
            called.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        stream.feed(data)
    finally:
        sys.setprofile(None)
    assert stream.held == many * size
    # Unmasking may be one, in Python.
    assert len(called) < 1.1 * many, Counter(called)


def test_a_message_that_comes_whole_is_copied_once() -> None:
    wire = header(BINARY | FIN, 16 * MIB) + bytes(16 * MIB)
    stream = Stream(16 * MIB)
    tracemalloc.start()
    try:
        (message,) = stream.feed(wire)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(message, bytes)
    assert peak < 1.2 * 16 * MIB


def test_the_protocol_has_no_way_to_a_socket() -> None:
    forbidden = {"asyncio", "os", "select", "selectors", "signal", "socket", "ssl", "threading"}
    (folder,) = protocol.__path__
    paths = list(Path(folder).glob("*.py"))
    assert len(paths) > 5
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not {name.split(".")[0] for name in names} & forbidden, path
