"""Compressing and inflating messages: RFC 7692 sections 6 and 7.2."""

from __future__ import annotations

import random
import tracemalloc
import zlib

import pytest

from dualws.protocol.deflate import Agreement, Deflate
from dualws.protocol.frames import BINARY, TEXT
from dualws.protocol.outgoing import Broadcast, InOrder, message_frame
from dualws.protocol.stream import Close, Failure, Ping, Stream
from support.frames import build
from support.inflate import inflate

TAIL = b"\x00\x00\xff\xff"
HELLO = bytes.fromhex("f248cdc9c90700")


def deflate(
    *, takeover: bool = False, ours: int = 12, theirs: int | None = None, threshold: int = 0
) -> Deflate:
    agreement = Agreement(
        server_no_context_takeover=not takeover,
        client_no_context_takeover=not takeover,
        server_max_window_bits=ours,
        client_max_window_bits=theirs,
    )
    return Deflate(agreement, threshold)


def stream(max_size: int = 1 << 20, **options: bool) -> Stream:
    return Stream(max_size, deflate=deflate(**options))


def packed(payload: bytes, **options: int) -> bytes:
    """*payload* compressed as a client does it."""
    compressor = zlib.compressobj(wbits=-15, **options)
    data = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return data.removesuffix(TAIL)


def payload_of(frame: bytes) -> bytes:
    """The payload of a server's frame, which must have RSV1 and FIN."""
    assert frame[0] & 0xF0 == 0xC0
    return frame[{126: 4, 127: 10}.get(frame[1], 2) :]


# -- receiving ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    {
        "7.2.3.1 one block": HELLO,
        "7.2.3.3 no compression": bytes.fromhex("000500faff48656c6c6f00"),
        "7.2.3.4 a final block": bytes.fromhex("f348cdc9c9070000"),
        "7.2.3.5 two blocks": bytes.fromhex("f248050000 00ffffcac9c90700"),
        "a final empty block": bytes.fromhex("000500faff48656c6c6f01"),
        "a final block and nothing after it": bytes.fromhex("f348cdc9c90700"),
    }.items(),
    ids=lambda item: item[0],
)
def test_the_rfcs_own_examples(payload: tuple[str, bytes]) -> None:
    whole = build(TEXT, payload[1], rsv=4)
    assert stream().feed(whole) == ["Hello"]
    halves = build(TEXT, payload[1][:3], rsv=4, fin=False) + build(0, payload[1][3:])
    assert stream().feed(halves) == ["Hello"]


@pytest.mark.parametrize(
    "payload",
    {
        "two final blocks": bytes.fromhex("f348cdc9c90700f348cdc9c90700"),
        "a stored block that takes the tail for its own": bytes.fromhex("000900f6ff48656c6c6f"),
        "a final one that takes what ends a stream, too": bytes.fromhex("010e00f1ff48656c6c6f"),
        "an open block": bytes.fromhex("000600f9ff48656c6c6f"),
        "a reserved kind of block": b"\x06",
        "bytes behind a final block": bytes.fromhex("f348cdc9c90700ff"),
        "a window that is too far back": bytes.fromhex("f200110000"),
        "text that is none": packed(b"caf\xe9"),
        "as much as may be": packed(bytes(1000)),
        "one byte too much": packed(bytes(1001)),
        "more than is inflated at once": packed(bytes(70_000)),
        "nothing": b"\0",
    }.items(),
    ids=lambda item: item[0],
)
@pytest.mark.parametrize("limit", [1000, 1 << 20])
def test_a_message_in_one_frame_means_what_it_means_in_two(
    payload: tuple[str, bytes], limit: int
) -> None:
    for opcode in (TEXT, BINARY):
        halves = build(opcode, payload[1], rsv=4, fin=False) + build(0, b"")
        expected = stream(limit).feed(halves)
        assert stream(limit).feed(build(opcode, payload[1], rsv=4)) == expected
        assert len(expected) == 1


def test_the_second_message_of_7_2_3_2_looks_back_on_the_first() -> None:
    second = bytes.fromhex("f200110000")
    frames = build(TEXT, HELLO, rsv=4) + build(TEXT, second, rsv=4)
    assert stream(takeover=True).feed(frames) == ["Hello", "Hello"]
    # Without an agreed context there is nothing to look back on.
    assert stream().feed(frames) == ["Hello", Failure(1007, "invalid compressed data")]


@pytest.mark.parametrize("payload", [b"", b"\x00", b"\x02\x00", b"\x01\x00\x00\xff\xff\x00"])
@pytest.mark.parametrize("takeover", [False, True])
def test_empty_messages(payload: bytes, takeover: bool) -> None:
    frames = build(TEXT, payload, rsv=4) + build(BINARY, payload, rsv=4)
    assert stream(takeover=takeover).feed(frames + build(TEXT, HELLO, rsv=4)) == ["", b"", "Hello"]


@pytest.mark.parametrize("takeover", [False, True])
def test_compressed_and_plain_messages_take_turns(takeover: bool) -> None:
    frames = (
        build(TEXT, HELLO, rsv=4)
        + build(TEXT, b"plain")
        + build(BINARY, packed(b"\x00" * 1000), rsv=4, fin=False)
        + build(9, b"between")
        + build(0)
        + build(BINARY, b"plain")
    )
    expected = ["Hello", "plain", Ping(b"between"), b"\x00" * 1000, b"plain"]
    assert stream(takeover=takeover).feed(frames) == expected


def test_a_message_in_many_fragments() -> None:
    message = random.Random(1).randbytes(3000) * 2
    data = packed(message)
    frames = build(BINARY, data[:1], rsv=4, fin=False)
    frames += b"".join(build(0, data[i : i + 1], fin=False) for i in range(1, len(data)))
    assert stream().feed(frames + build(0)) == [message]


def test_several_final_blocks() -> None:
    compressor = zlib.compressobj(wbits=-15)
    part = compressor.compress(b"part ") + compressor.flush()
    assert stream().feed(build(TEXT, part * 5000 + b"\x00", rsv=4)) == ["part " * 5000]


@pytest.mark.parametrize(
    ("first", "negotiated"),
    [
        (0xC1, False),  # RSV1 without an agreement
        (0xE1, True),  # RSV2 with it
        (0xD1, True),  # RSV3 with it
        (0xB1, True),  # RSV2 and RSV3
        (0xC9, True),  # a compressed ping
        (0xC8, True),  # a compressed close
    ],
)
def test_reserved_bits_that_mean_nothing_are_an_error(first: int, negotiated: bool) -> None:
    data = bytes([first, 0x80]) + b"\0\0\0\0"
    receiver = stream() if negotiated else Stream()
    assert receiver.feed(data) == [Failure(1002, "reserved bits are set")]


def test_rsv1_belongs_to_the_first_frame_only() -> None:
    frames = build(TEXT, HELLO[:2], rsv=4, fin=False) + build(0, HELLO[2:], rsv=4)
    assert stream().feed(frames) == [Failure(1002, "reserved bits are set")]


@pytest.mark.parametrize(
    "payload",
    [
        b"\x06",  # block type 3
        b"\xff" * 10,
        HELLO[:3],  # the middle of a block
        HELLO + b"\xff",
        bytes.fromhex("f348333636ff7473"),  # the middle of the last block, by luck like its end
        b"\x00\x05\x00\x00\x00Hello",  # a stored block whose lengths disagree
        bytes.fromhex("f200110000"),  # looks back past the beginning
    ],
)
def test_what_is_no_compressed_data_is_1007(payload: bytes) -> None:
    for receiver in (stream(), stream(takeover=True)):
        events = receiver.feed(build(TEXT, b"good") + build(BINARY, payload, rsv=4))
        assert events == ["good", Failure(1007, "invalid compressed data")]


def test_a_distance_over_the_agreed_window_is_1007() -> None:
    # Found out as soon as the bytes come in several frames, for then zlib has its window only.
    message = random.Random(3).randbytes(5000)
    data = packed(message + message)
    receiver = Stream(deflate=deflate(theirs=9))
    frames = build(BINARY, data[:4000], rsv=4, fin=False) + build(0, data[4000:])
    assert receiver.feed(frames) == [Failure(1007, "invalid compressed data")]


@pytest.mark.parametrize("bad", [b"\xff", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"])
def test_compressed_text_must_be_utf8(bad: bytes) -> None:
    assert stream().feed(build(TEXT, packed(b"x" * 100 + bad), rsv=4)) == [
        Failure(1007, "invalid UTF-8 in a text message")
    ]


def test_bad_utf8_fails_in_the_fragment_that_holds_it() -> None:
    compressor = zlib.compressobj(wbits=-15)
    data = compressor.compress(b"\xc0\xaf") + compressor.flush(zlib.Z_SYNC_FLUSH)
    assert stream().feed(build(TEXT, data, rsv=4, fin=False)) == [
        Failure(1007, "invalid UTF-8 in a text message")
    ]


@pytest.mark.parametrize("size", [999, 1000, 1001])
@pytest.mark.parametrize("fragments", [1, 3])
def test_the_limit_is_counted_after_inflating(size: int, fragments: int) -> None:
    data = packed(b"x" * size)
    cuts = [len(data) * i // fragments for i in range(fragments + 1)]
    frames = b"".join(
        build(
            BINARY if index == 0 else 0,
            data[cuts[index] : cuts[index + 1]],
            rsv=4 if index == 0 else 0,
            fin=index == fragments - 1,
        )
        for index in range(fragments)
    )
    expected = [b"x" * size] if size <= 1000 else [Failure(1009, "message over 1000 bytes")]
    assert stream(max_size=1000).feed(frames) == expected


def test_a_compressed_frame_longer_than_its_message_is_no_reason_to_refuse_it() -> None:
    message = random.Random(2).randbytes(1000)
    data = packed(message, level=0)
    assert len(data) > 1000
    assert stream(max_size=1000).feed(build(BINARY, data, rsv=4)) == [message]


@pytest.mark.parametrize("kind", [TEXT, BINARY])
def test_a_bomb_costs_at_most_the_limit(kind: int) -> None:
    limit = 1 << 20
    bomb = packed(bytes(10 * limit), level=9)
    assert len(bomb) < 11 * 1024
    frame = build(kind, bomb, rsv=4)
    receiver = stream(max_size=limit)
    tracemalloc.start()
    try:
        assert receiver.feed(frame) == [Failure(1009, f"message over {limit} bytes")]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # What zlib itself needs, and one piece that is being worked on, come on top.
    assert peak < limit + 256 * 1024


def test_an_idle_connection_holds_no_memory_for_compression() -> None:
    receiver = stream()
    receiver.feed(build(TEXT, HELLO, rsv=4))
    tracemalloc.start()
    try:
        receivers = [stream() for _ in range(100)]
        for each in receivers:
            assert each.feed(build(TEXT, HELLO, rsv=4)) == ["Hello"]
            assert each._deflate is not None
            each._deflate.frame(TEXT, b"x" * 5000)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held / 100 < 2048


def test_one_read_full_of_bombs_takes_many_turns() -> None:
    size = 100 * 1024
    read = build(BINARY, packed(bytes(size)), rsv=4) * 20 + build(9, b"end")
    receiver = stream()
    turns = [receiver.feed(read, 256)]
    while receiver.pending:
        turns.append(receiver.feed(b"", 256))
    assert [len(turn) for turn in turns] == [3] * 6 + [3]
    assert [event for turn in turns for event in turn] == [bytes(size)] * 20 + [Ping(b"end")]


def test_the_turn_ends_also_where_the_first_piece_of_a_frame_came_before() -> None:
    read = build(BINARY, packed(bytes(1 << 20)), rsv=4) * 2
    receiver = stream()
    assert receiver.feed(read[:5]) == []
    assert receiver.feed(read[5:]) == [bytes(1 << 20)]
    assert receiver.pending
    assert receiver.feed(b"") == [bytes(1 << 20)]


def test_what_nobody_wants_is_not_inflated() -> None:
    receiver = stream()
    receiver.discarding = True
    bomb = build(TEXT, packed(bytes(10 << 20)), rsv=4)
    assert receiver.feed(bomb + build(8)) == ["", Close(1005, "")]
    assert receiver._inflated == 0


# -- sending -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 5, 125, 126, 1024, 65535, 65536, 300_000])
@pytest.mark.parametrize("takeover", [False, True])
@pytest.mark.parametrize("kind", ["zeros", "random", "text"])
def test_what_is_sent_inflates_to_what_was_given(size: int, takeover: bool, kind: str) -> None:
    source = random.Random(size)
    message = {
        "zeros": bytes(size),
        "random": source.randbytes(size),
        "text": bytes(source.choices(b"abcdefgh ", k=size)),
    }[kind]
    sender = deflate(takeover=takeover)
    inflater = zlib.decompressobj(-12)
    for _ in range(3):
        data = payload_of(sender.frame(BINARY, message, always=True))
        assert inflater.decompress(data + TAIL) == message
        if not takeover:
            inflater = zlib.decompressobj(-12)


@pytest.mark.parametrize("bits", range(8, 16))
@pytest.mark.parametrize("takeover", [False, True])
def test_nothing_looks_back_further_than_the_agreed_window(bits: int, takeover: bool) -> None:
    # Words that come again after every distance there is.
    source = random.Random(bits)
    words = [source.randbytes(source.randint(3, 40)) for _ in range(400)]
    message = b"".join(source.choices(words, k=3000))
    sender = deflate(ours=bits, takeover=takeover)
    data = payload_of(sender.frame(BINARY, message, always=True)) + TAIL
    if takeover:
        data += payload_of(sender.frame(BINARY, message, always=True)) + TAIL
    found = inflate(data)
    assert found.data == message * (2 if takeover else 1)
    assert 0 < found.furthest <= 1 << bits


def test_what_grows_by_compressing_is_sent_as_it_is() -> None:
    noise = random.Random(1).randbytes(2000)
    assert deflate().frame(BINARY, noise)[0] == 0x82
    assert deflate().frame(BINARY, noise, always=True)[0] == 0xC2
    # With a kept context the compressor has seen it: the peer must see it too.
    assert deflate(takeover=True).frame(BINARY, noise)[0] == 0xC2


def test_the_threshold_and_the_choice_for_one_message() -> None:
    agreed = deflate(threshold=100)
    short, long = "x" * 99, "x" * 100
    assert message_frame(short, deflate=agreed)[0] == 0x81
    assert message_frame(long, deflate=agreed)[0] == 0xC1
    assert message_frame(short, compress=True, deflate=agreed)[0] == 0xC1
    assert message_frame(long, compress=False, deflate=agreed)[0] == 0x81
    assert message_frame(long, compress=True)[0] == 0x81
    assert message_frame("é" * 50, deflate=agreed)[0] == 0xC1


def test_with_context_takeover_a_message_waits_for_its_turn_to_be_compressed() -> None:
    agreed = deflate(takeover=True, threshold=10)
    assert message_frame("x" * 10, deflate=agreed) == InOrder(TEXT, b"x" * 10)
    assert message_frame("x" * 9, deflate=agreed) == build(TEXT, b"x" * 9, mask=None)


def test_a_broadcast_is_compressed_once_for_all_that_agree() -> None:
    message = Broadcast("x" * 5000)
    assert message.frame_for(deflate()) is message.frame_for(deflate())
    assert message.frame_for(deflate(ours=9)) is not message.frame_for(deflate())
    assert message.frame_for(deflate(takeover=True)) == InOrder(TEXT, b"x" * 5000)
    assert message.frame_for(None) == build(TEXT, b"x" * 5000, mask=None)
