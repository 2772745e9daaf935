"""The stream: every rule of RFC 6455 sections 5 and 7.4, and every way the bytes may be cut."""

from __future__ import annotations

import random
import struct
import tracemalloc

import pytest

from dualws.protocol.stream import Close, Failure, Ping, Pong, Stream

KEY = b"\x37\xfa\x21\x3d"


def frame(
    first: int, payload: bytes = b"", *, key: bytes | None = KEY, size: bytes | None = None
) -> bytes:
    """A frame by hand: *first* is its whole first byte."""
    if size is None:
        if len(payload) < 126:
            size = bytes([len(payload)])
        elif len(payload) < 65536:
            size = b"\x7e" + struct.pack("!H", len(payload))
        else:
            size = b"\x7f" + struct.pack("!Q", len(payload))
    if key is None:
        return bytes([first]) + size + payload
    masked = bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
    return bytes([first, size[0] | 0x80]) + size[1:] + key + masked


def feed(*frames: bytes, max_size: int = 1 << 20) -> list[object]:
    return list(Stream(max_size).feed(b"".join(frames)))


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 125, 126, 127, 65535, 65536, 70001])
def test_a_message_of_any_size_arrives(size: int) -> None:
    binary = random.Random(size).randbytes(size)
    text = "é" * (size // 2)
    assert feed(frame(0x82, binary), frame(0x81, text.encode())) == [binary, text]


def test_the_rfcs_own_example() -> None:
    # RFC 6455 section 5.7: a single-frame masked text message
    masked = bytes.fromhex("818537fa213d7f9f4d5158")
    assert feed(masked) == ["Hello"]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 4095, 4096, 4097, 65535, 65536])
@pytest.mark.parametrize("step", [1 << 20, 4099, 1000])
def test_a_message_in_fragments_of_any_size_arrives(size: int, step: int) -> None:
    binary = random.Random(size).randbytes(4 * size + 3)
    for first, payload in (
        (0x02, binary),
        (0x01, b"a" * len(binary)),
        (0x01, ("a" * (size + 1) + "é" * size).encode()),
    ):
        cuts = [payload[start : start + size] for start in range(0, 3 * size, size or 1)]
        frames = [frame(first), *(frame(0x00, cut) for cut in cuts), frame(0x89, b"p")]
        frames += [frame(0x00), frame(0x80, payload[3 * size :]), frame(0x82, b"next")]
        data = b"".join(frames)
        stream = Stream(4 * size + 4)
        events = [e for at in range(0, len(data), step) for e in stream.feed(data[at : at + step])]
        message = payload if first == 0x02 else payload.decode()
        assert events == [Ping(b"p"), message, b"next"]


def test_a_fragmented_message_is_one_message_and_control_frames_come_between() -> None:
    assert feed(
        frame(0x01, "gr\u00fc".encode()[:3]),
        frame(0x89, b"still there?"),
        frame(0x00, "gr\u00fc".encode()[3:]),
        frame(0x8A),
        frame(0x80, "ß".encode()),
        frame(0x02, b""),
        frame(0x80, b""),
    ) == [Ping(b"still there?"), Pong(b""), "grüß", b""]


def test_the_close_frame_ends_the_stream() -> None:
    stream = Stream()
    data = frame(0x81, b"last") + frame(0x88, b"\x03\xe8bye") + frame(0x81, b"too late")
    assert stream.feed(data) == ["last", Close(1000, "bye")]
    assert stream.feed(frame(0x81, b"still too late")) == []
    assert not stream.pending


def test_a_close_frame_without_a_code_is_1005() -> None:
    assert feed(frame(0x88)) == [Close(1005, "")]


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 4999])
def test_valid_close_codes(code: int) -> None:
    assert feed(frame(0x88, struct.pack("!H", code))) == [Close(code, "")]


@pytest.mark.parametrize(
    "code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]
)
def test_invalid_close_codes(code: int) -> None:
    assert feed(frame(0x88, struct.pack("!H", code))) == [
        Failure(1002, f"invalid close code {code}")
    ]


BAD = {
    "unmasked": (frame(0x81, b"x", key=None), 1002),
    "rsv1": (frame(0xC1, b"x"), 1002),
    "rsv2": (frame(0xA1, b"x"), 1002),
    "rsv3": (frame(0x91, b"x"), 1002),
    **{f"opcode {op:x}": (frame(0x80 | op), 1002) for op in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "fragmented ping": (frame(0x09), 1002),
    "fragmented close": (frame(0x08, b"\x03\xe8"), 1002),
    "long ping": (frame(0x89, b"x" * 126), 1002),
    "long close": (frame(0x88, b"\x03\xe8" + b"x" * 124), 1002),
    "continuation without a start": (frame(0x80, b"x"), 1002),
    "continuation after a whole message": (frame(0x81, b"x") + frame(0x80, b"x"), 1002),
    "new message inside another": (frame(0x01, b"x") + frame(0x81, b"x"), 1002),
    "length 2^63": (frame(0x82, size=b"\x7f" + struct.pack("!Q", 1 << 63)), 1002),
    "16-bit length for 125": (frame(0x82, b"x" * 125, size=b"\x7e\x00\x7d"), 1002),
    "64-bit length for 65535": (
        frame(0x82, b"x" * 65535, size=b"\x7f" + struct.pack("!Q", 65535)),
        1002,
    ),
    "close of one byte": (frame(0x88, b"\x03"), 1002),
    "close reason not UTF-8": (frame(0x88, b"\x03\xe8\xff"), 1007),
    "text not UTF-8": (frame(0x81, b"\xce\xba\xed\xa0\x80"), 1007),
    "text that ends in half a character": (frame(0x81, b"\xe2\x82"), 1007),
    "fragments that end in half a character": (frame(0x01, b"x") + frame(0x80, b"\xe2\x82"), 1007),
    "over the limit": (frame(0x82, b"x" * 1025), 1009),
    "over the limit in fragments": (frame(0x02, b"x" * 1000) + frame(0x80, b"x" * 25), 1009),
    "over the limit in longer fragments": (frame(0x02, b"x" * 500) + frame(0x00, b"x" * 525), 1009),
    "unmasked continuation": (frame(0x02) + frame(0x00, b"x", key=None), 1002),
    "unmasked continuation of 126 bytes": (frame(0x02) + frame(0x00, b"x" * 126, key=None), 1002),
    "reserved bits in a continuation": (frame(0x02) + frame(0x10, b"x"), 1002),
    "16-bit length for 125 in a continuation": (
        frame(0x02) + frame(0x00, b"x" * 125, size=b"\x7e\x00\x7d"),
        1002,
    ),
    "64-bit length for 127 in a continuation": (
        frame(0x02) + frame(0x00, b"x" * 127, size=b"\x7f" + struct.pack("!Q", 127)),
        1002,
    ),
    "a continuation not UTF-8": (frame(0x01) + frame(0x00, b"x" * 200 + b"\xff"), 1007),
    "a character broken off by ASCII": (frame(0x01, b"\xe2") + frame(0x00, b"x" * 200), 1007),
    "over the limit by its header": (
        frame(0x82, size=b"\x7f" + struct.pack("!Q", (1 << 63) - 1)),
        1009,
    ),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("step", ["at once", "byte by byte"])
def test_bad_input_fails_and_nothing_before_it_is_lost(name: str, step: str) -> None:
    bad, code = BAD[name]
    data = frame(0x81, b"good") + bad + frame(0x81, b"never seen")
    stream = Stream(1024)
    if step == "at once":
        events = stream.feed(data)
    else:
        events = [event for byte in data for event in stream.feed(bytes([byte]))]
    assert events[0] == "good"
    assert isinstance(events[-1], Failure)
    assert events[-1].code == code
    assert "never seen" not in events


def test_the_limit_itself_is_allowed() -> None:
    assert feed(frame(0x82, b"x" * 1024), max_size=1024) == [b"x" * 1024]
    assert feed(frame(0x02, b"x" * 1000), frame(0x80, b"x" * 24), max_size=1024) == [b"x" * 1024]


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        (b"\xce\xba\xe1\xbd\xb9\xf4\x90\x80\x80edited", 6),
        (b"hello\xc0\xaf", 5),
        (b"hello\xed\xa0\x80", 6),
    ],
)
def test_bad_utf8_fails_at_its_first_byte(text: bytes, bad: int) -> None:
    stream = Stream()
    data = frame(0x81, text)
    for index in range(6 + bad):
        assert stream.feed(data[index : index + 1]) == []
    assert stream.feed(data[6 + bad : 7 + bad]) == [
        Failure(1007, "invalid UTF-8 in a text message")
    ]


def test_the_size_limit_is_judged_before_the_payload_is_waited_for() -> None:
    stream = Stream(1024)
    assert stream.feed(frame(0x82, b"x" * 2000)[:4]) == [Failure(1009, "message over 1024 bytes")]


def test_feeding_stops_at_the_limit_and_goes_on_without_new_data() -> None:
    stream = Stream()
    data = b"".join(frame(0x81, str(i).encode()) for i in range(10)) + frame(0x81, b"10")[:5]
    assert stream.feed(data, 4) == ["0", "1", "2", "3"]
    assert stream.pending
    assert stream.feed(b"", 4) == ["4", "5", "6", "7"]
    assert stream.feed(b"", 4) == ["8", "9"]
    assert not stream.pending
    assert stream.feed(frame(0x81, b"10")[5:]) == ["10"]


def test_any_cut_of_the_bytes_gives_the_same_events() -> None:
    source = random.Random(7)
    data = b"".join(
        [
            frame(0x81, "zwölf Boxkämpfer".encode()),
            frame(0x02, source.randbytes(200), key=b"\x00\x00\x00\x00"),
            frame(0x89, b"ping"),
            frame(0x00, source.randbytes(70000)),
            frame(0x80),
            frame(0x01, "€".encode()[:1]),
            frame(0x00, "€".encode()[1:2]),
            frame(0x80, "€".encode()[2:]),
            frame(0x88, b"\x0f\xa0end"),
        ]
    )
    whole = Stream().feed(data)
    assert len(whole) == 5
    for _ in range(200):
        cuts = sorted(source.sample(range(len(data)), source.randint(1, 40)))
        stream = Stream()
        events = []
        for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True):
            events += stream.feed(data[start:stop])
        assert events == whole
    every_split_of_the_tail = range(len(data) - 60, len(data))
    for cut in every_split_of_the_tail:
        stream = Stream()
        assert stream.feed(data[:cut]) + stream.feed(data[cut:]) == whole


def test_a_client_side_stream_refuses_masked_frames() -> None:
    stream = Stream(expect_masking=False)
    assert stream.feed(frame(0x81, b"x", key=None)) == ["x"]
    assert stream.feed(frame(0x81, b"x")) == [Failure(1002, "frames must not be masked")]


def test_ws4pys_interface_builds_the_same_frames() -> None:
    stream = Stream()
    assert stream.text_message("hé").single() == b"\x81\x03h\xc3\xa9"
    assert stream.binary_message(b"\x00").single() == b"\x82\x01\x00"
    assert stream.close(1001, "bye").single() == b"\x88\x05\x03\xe9bye"
    assert stream.ping("p") == b"\x89\x01p"
    assert stream.pong(b"p") == b"\x8a\x01p"


def test_frames_without_payload_take_no_memory() -> None:
    stream = Stream(1000)
    for first in (0x01, 0x02):
        stream.feed(frame(first))
        flood = frame(0x00) * 2000
        tracemalloc.start()
        for _ in range(20):
            assert stream.feed(flood) == []
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert kept < 16 * 1024
        assert len(stream.feed(frame(0x80, b"x"))) == 1


@pytest.mark.parametrize(("first", "piece"), [(0x01, "é".encode()), (0x02, b"\xff\x00")])
def test_a_message_in_tiny_frames_takes_little_more_than_its_size(first: int, piece: bytes) -> None:
    size = 128 * 1024
    stream = Stream(size + 2)
    stream.feed(frame(first))
    portion = frame(0x00, piece) * 1024
    tracemalloc.start()
    for _ in range(size // 2 // 1024):
        assert stream.feed(portion) == []
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 3 * size
    whole = piece * (size // 2 + 1)
    assert stream.feed(frame(0x80, piece)) == [whole.decode() if first == 0x01 else whole]
