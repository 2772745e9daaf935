"""Any bytes, cut anywhere, against a model that was written for the purpose."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from dualws.protocol.deflate import Agreement, Deflate
from dualws.protocol.stream import Close, Failure, Ping, Pong, Stream
from support.frames import build
from support.stream_model import Compression, expect

MAX_SIZE = 150


def stream_for(compression: Compression | None) -> Stream:
    if compression is None:
        return Stream(MAX_SIZE)
    agreement = Agreement(
        server_no_context_takeover=True,
        client_no_context_takeover=not compression.takeover,
        server_max_window_bits=15,
        client_max_window_bits=compression.bits,
    )
    return Stream(MAX_SIZE, deflate=Deflate(agreement))


def plain(events: Iterable[object]) -> list[object]:
    """Events of the stream in the model's words."""
    words: list[object] = []
    for event in events:
        if isinstance(event, Ping | Pong):
            words.append((type(event).__name__.lower(), event.data))
        elif isinstance(event, Close):
            words.append(("close", *event))
        elif isinstance(event, Failure):
            words.append(("fail", frozenset({event.code})))
        else:
            words.append(event)
    return words


def check(data: bytes, cuts: Iterable[int], compression: Compression | None) -> None:
    """What comes of *data*, cut there, is what the model makes of it."""
    stream = stream_for(compression)
    start = 0
    found: list[object] = []
    for cut in [*cuts, len(data)]:
        found += stream.feed(data[start:cut])
        start = cut
    found = plain(found)
    wanted = expect(data, MAX_SIZE, compression)
    if wanted and found and isinstance(wanted[-1], tuple) and wanted[-1][0] == "fail":
        kind, codes = found[-1] if isinstance(found[-1], tuple) else ("", frozenset())
        assert kind == "fail", (found, wanted)
        assert codes <= wanted[-1][1], (found, wanted)
        found, wanted = found[:-1], wanted[:-1]
    assert found == wanted


# -- what a client may send, rightly or wrongly ------------------------------------

TEXTS = st.text(alphabet="aß€𝄞\x00", max_size=60).map(str.encode)
BAD_TEXTS = st.sampled_from(
    [b"\xc0\xaf", b"\xed\xa0\x80", b"ok\xf4\x90\x80\x80", b"\xe2\x82", b"\xff"]
)
PAYLOADS = st.one_of(
    TEXTS, BAD_TEXTS, st.binary(max_size=140), st.integers(140, 160).map(lambda n: b"x" * n)
)
KEYS = st.one_of(st.just(b"\0\0\0\0"), st.binary(min_size=4, max_size=4))


@st.composite
def messages(draw: st.DrawFn, compressors: list[object], compression: Compression | None) -> bytes:
    """A whole message in one frame or several, perhaps compressed, with pings between."""
    payload = draw(PAYLOADS)
    rsv = 0
    if compression is not None and draw(st.booleans()):
        rsv = 4
        payload = compress(payload, compressors, compression, draw(st.integers(0, 3)))
    opcode = draw(st.sampled_from([1, 2]))
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
    pieces = [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
    result = b""
    for index, piece in enumerate(pieces):
        fin = index == len(pieces) - 1
        first = index == 0
        key = draw(KEYS)
        result += build(opcode if first else 0, piece, fin=fin, rsv=rsv if first else 0, mask=key)
        if not fin and draw(st.booleans()):
            # Now and then a message, which has no place there.
            result += build(draw(st.sampled_from([9, 10, 9, 10, 9, 10, 1, 2])), b"between")
    return result


def compress(payload: bytes, kept: list[object], compression: Compression, way: int) -> bytes:
    """*payload* as some client might compress it (RFC 7692 section 7.2.3)."""
    compressor: zlib._Compress
    if compression.takeover and kept:
        compressor = kept[0]
    else:
        compressor = zlib.compressobj(
            wbits=-max(compression.bits, 9), level=0 if way == 1 else 6, memLevel=1
        )
        if compression.takeover:
            kept.append(compressor)
    if way == 2:  # a final block, and the empty one that must follow it
        kept.clear()
        return compressor.compress(payload) + compressor.flush() + b"\x00"
    data = b""
    if way == 3:  # several blocks
        data = compressor.compress(payload[:5]) + compressor.flush(zlib.Z_SYNC_FLUSH)
        payload = payload[5:]
    data += compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return data.removesuffix(b"\x00\x00\xff\xff") or b"\x00"


@st.composite
def anything(draw: st.DrawFn) -> bytes:
    """A frame whose every part may be wrong."""
    payload = draw(
        st.one_of(st.binary(max_size=10), st.sampled_from([b"\x03\xe8bye", b"\x03\xec"]))
    )
    frame = build(
        draw(st.integers(0, 15)),
        payload,
        fin=draw(st.booleans()),
        rsv=draw(st.sampled_from([0, 0, 0, 1, 2, 4])),
        mask=draw(st.one_of(KEYS, KEYS, st.none())),
        length=draw(st.one_of(st.none(), st.sampled_from([126, 65536, 1 << 63]))),
    )
    # Too long a form of a length, and broken bits.
    if draw(st.booleans()):
        index = draw(st.integers(0, len(frame) - 1))
        frame = frame[:index] + bytes([draw(st.integers(0, 255))]) + frame[index + 1 :]
    return frame


@st.composite
def streams(draw: st.DrawFn, compression: Compression | None) -> bytes:
    """Some good messages, then anything, then whatever follows; perhaps one byte broken."""
    kept: list[object] = []
    data = b"".join(draw(messages(kept, compression)) for _ in range(draw(st.integers(0, 4))))
    data += b"".join(draw(st.lists(anything(), max_size=2)))
    if draw(st.booleans()):
        data += build(8, draw(st.sampled_from([b"", b"\x03\xe8bye", b"\x03\xed", b"\x0f\xa0\xff"])))
    if data and draw(st.integers(0, 3)) == 0:
        index = draw(st.integers(0, len(data) - 1))
        data = data[:index] + bytes([data[index] ^ draw(st.integers(1, 255))]) + data[index + 1 :]
    return data


def check_all(data: bytes, compression: Compression | None) -> None:
    """Whole, byte by byte, in every two pieces, in some more; and ended at every byte."""
    check(data, [], compression)
    check(data, range(1, len(data)), compression)
    for cut in range(1, len(data)):
        check(data, [cut], compression)
        check(data[:cut], [cut // 2], compression)
    source = random.Random(len(data))
    for _ in range(5):
        count = min(len(data), source.randint(2, 12))
        check(data, sorted(source.sample(range(len(data)), count)), compression)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(streams(None))
def test_every_cut_of_any_stream(data: bytes) -> None:
    check_all(data, None)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.data(), st.booleans(), st.sampled_from([8, 9, 12, 15]))
def test_every_cut_of_any_stream_with_compression(
    data: st.DataObject, takeover: bool, bits: int
) -> None:
    compression = Compression(takeover, bits)
    check_all(data.draw(streams(compression)), compression)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=80), st.booleans())
def test_any_compressed_bytes(payload: bytes, takeover: bool) -> None:
    compression = Compression(takeover)
    data = build(2, payload, rsv=4) + build(2, b"\x00", rsv=4)
    check(data, [], compression)
    check(data, range(1, len(data)), compression)
