"""Short compressed messages, which the compiled core sees to itself: any bytes come to the same."""

from __future__ import annotations

import importlib.util
import os
import random
import subprocess
import sys
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualws import hot
from dualws.hot import pure
from dualws.protocol.deflate import Agreement, Deflate
from support.cuts import check_cuts, received
from support.frames import build
from support.noted import Case
from support.stream_model import Compression, expect
from support.timing import TIMEOUT

TEXT, BINARY, RSV1 = 1, 2, 4
KEY = b"\x37\xfa\x21\x3d"
TAIL = b"\x00\x00\xff\xff"
MAX_SIZE = 150
TURN = 256 * 1024

both = pytest.mark.skipif(
    not os.environ.get("CI") and importlib.util.find_spec("dualws.hot._compiled") is None,
    reason="it is not compiled here",
)


def deflate(*, takeover: bool = False, ours: int = 12, theirs: int = 12) -> Deflate:
    agreement = Agreement(
        server_no_context_takeover=not takeover,
        client_no_context_takeover=not takeover,
        server_max_window_bits=ours,
        client_max_window_bits=theirs,
    )
    return Deflate(agreement, 0)


def twins(**options: Any) -> list[Any]:
    """The same agreement for either core."""
    from dualws.hot import _compiled

    whole = deflate(**options)
    made = []
    for core in (_compiled, pure):
        one = core.Deflate()
        for name in ("threshold", "level", "keeps_context", "_alone", "_ours", "_theirs", "_begun"):
            setattr(one, name, getattr(whole, name))
        made.append(one)
    return made


def packed(payload: bytes, bits: int = 12, level: int = 6) -> bytes:
    """*payload* compressed as a client does it."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, -bits)
    data = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return data.removesuffix(TAIL)


def ended(payload: bytes) -> bytes:
    """*payload* in a final block (RFC 7692 section 7.2.3.4)."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, -12)
    return compressor.compress(payload) + compressor.flush() + b"\x00"


BYTES = st.one_of(
    st.binary(max_size=200),
    st.text(alphabet="aß€𝄞\x00", max_size=60).map(str.encode),
    st.integers(0, 9000).map(lambda size: b"again " * size),
)


@both
@settings(max_examples=300, deadline=None, derandomize=True)
@given(BYTES, st.integers(8, 15), st.integers(1, 9))
def test_either_core_compresses_to_the_same_bytes(payload: bytes, bits: int, level: int) -> None:
    compiled, twin = twins(ours=bits)
    compiled.level = twin.level = level
    data = compiled.compress_short(payload)
    if data is not None:
        assert data == twin.compress_short(payload)
    else:
        assert not 0 < len(payload) <= 8192


@both
@settings(max_examples=500, deadline=None, derandomize=True)
@given(
    st.one_of(
        BYTES,
        BYTES.map(packed),
        BYTES.map(ended),
        BYTES.map(lambda payload: packed(payload, level=0)),
        st.tuples(BYTES.map(packed), st.integers(0, 40)).map(lambda cut: cut[0][: -cut[1]]),
    ),
    st.integers(0, 70_000),
    st.integers(8, 15),
)
def test_either_core_inflates_to_the_same_bytes(data: bytes, room: int, bits: int) -> None:
    compiled, twin = twins(theirs=bits)
    message = compiled.inflate_short(data, room)
    if message is not None or len(data) <= 8192:
        assert message == twin.inflate_short(data, room)


@both
def test_a_library_that_is_not_found_leaves_it_to_python() -> None:
    code = (
        "import zlib; zlib.__file__ = '/nowhere.so'; from dualws import hot; "
        "print(hot.COMPILED, hot.Deflate)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "DUALWS_PURE_PYTHON": "0"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=True,
    )
    assert run.stdout.split(maxsplit=1)[0] == "True"
    assert "dualws.hot.pure.deflate.Deflate" in run.stdout


@both
@pytest.mark.parametrize("size", [1023, 1024, 65535, 65536, 65537])
def test_a_message_is_inflated_up_to_its_room(size: int) -> None:
    for one in twins():
        data = packed(bytes(size))
        assert one.inflate_short(data, size - 1) is None
        assert one.inflate_short(data, size) == (bytes(size) if size <= 65536 else None)


def test_a_message_that_does_not_compress_is_not_lost() -> None:
    for size in (1, 100, 8192):
        payload = random.Random(size).randbytes(size)
        data = deflate().compress_short(payload)
        assert data is not None
        assert len(data) > size
        assert zlib.decompressobj(-12).decompress(data + TAIL) == payload


# -- in a connection ---------------------------------------------------------------


PAYLOADS = st.one_of(
    st.text(alphabet="aß€𝄞\x00", max_size=60).map(str.encode),
    st.sampled_from([b"\xc0\xaf", b"\xed\xa0\x80", b"ok\xf4\x90\x80\x80", b"\xe2\x82", b"\xff"]),
    st.integers(140, 160).map(bytes),
    st.binary(max_size=60),
)


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """Mostly short compressed messages, with all else between."""
    pack = draw(st.sampled_from([packed, packed, packed, ended, bytes]))
    return build(
        draw(st.sampled_from([1, 1, 1, 2, 2, 0, 8, 9])),
        pack(draw(PAYLOADS)),
        fin=draw(st.sampled_from([True, True, True, False])),
        rsv=draw(st.sampled_from([RSV1, RSV1, RSV1, RSV1, 0, 2, 6])),
        mask=draw(st.sampled_from([KEY, KEY, KEY, b"\0\0\0\0", None])),
        length=draw(st.sampled_from([None, None, None, None, 126, 65536])),
    )


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(frames(), max_size=5).map(b"".join), st.data())
def test_every_cut_of_any_frames(data: bytes, source: st.DataObject) -> None:
    check_cuts(
        lambda: Case(deflate=deflate(theirs=15), max_message_size=MAX_SIZE),
        data,
        expect(data, MAX_SIZE, Compression(takeover=False, bits=15)),
        source,
    )


def test_what_is_inflated_is_one_peers_turn() -> None:
    case = Case(deflate=deflate(), max_queued_messages=1000)
    frame = build(BINARY, packed(bytes(64 * 1024)), rsv=RSV1, mask=KEY)
    case.connection.data_received(frame * 20)
    assert case.connection.waiting[0] == TURN // (64 * 1024)
    assert not case.transport.reading
    assert received(case.connection) == [bytes(64 * 1024)] * 20
    assert case.transport.reading


def test_what_nobody_wants_any_more_is_not_inflated() -> None:
    case = Case(deflate=deflate())
    case.connection.close()
    bomb = build(BINARY, packed(bytes(2 << 20)), rsv=RSV1, mask=KEY)
    case.connection.data_received(bomb)  # it would fail with 1009
    assert case.connection.close_code == 1000


@pytest.mark.parametrize("data", ["again " * 200, b"again " * 200, "ß" * 700])
@pytest.mark.parametrize("takeover", [False, True])
def test_what_is_sent_is_compressed(data: str | bytes, takeover: bool) -> None:
    case = Case(deflate=deflate(takeover=takeover))
    room = case.connection.send_message(data)
    assert room is (True if hot.COMPILED and not takeover else None)
    if room:
        (frame,) = case.transport.written
        opcode = BINARY if isinstance(data, bytes) else TEXT
        payload = data if isinstance(data, bytes) else data.encode()
        assert frame == build(opcode, packed_by_us(payload), rsv=RSV1, mask=None)


def packed_by_us(payload: bytes) -> bytes:
    data = deflate().compress_short(payload)
    assert data is not None
    return data


def test_what_is_short_or_does_not_become_smaller_is_sent_as_it_is() -> None:
    case = Case(deflate=deflate())
    assert case.connection.deflate is not None
    noise = random.Random(1).randbytes(300)
    case.connection.send_message(noise)
    case.connection.deflate.threshold = 1000
    case.connection.send_message("again " * 100)
    wanted = [build(BINARY, noise, mask=None), build(TEXT, b"again " * 100, mask=None)]
    assert case.transport.written == (wanted if hot.COMPILED else [])
