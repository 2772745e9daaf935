"""A message in fragments: which frames, and that readers of RFC 6455 and 7692 understand them."""

from __future__ import annotations

from typing import Any

import pytest

from dualws.protocol.deflate import Agreement, Deflate
from dualws.protocol.fragments import Fragments, frames_of
from dualws.protocol.outgoing import message_frame
from dualws.protocol.stream import Stream

CHUNKS: dict[str, tuple[list[Any], str | bytes]] = {
    "text": (["one", "zwei ü", "trois"], "onezwei ütrois"),
    "bytes": ([b"\0", bytearray(b"\1"), memoryview(b"\2")], b"\0\1\2"),
    "empty chunks": (["", "a", "", "", "b", ""], "ab"),
    "nothing but empty": (["", ""], ""),
    "one": (["alone"], "alone"),
    "one empty": ([b""], b""),
    "none": ([], ""),
    "long": (["x" * 70_000, "y" * 200], "x" * 70_000 + "y" * 200),
}


def deflate(*, context: bool, threshold: int = 0) -> tuple[Deflate, Deflate]:
    """A server's compression and its client's."""
    agreement = Agreement(
        server_no_context_takeover=not context,
        client_no_context_takeover=not context,
        server_max_window_bits=12,
        client_max_window_bits=12,
    )
    return Deflate(agreement, threshold), Deflate(agreement)


@pytest.mark.parametrize("case", CHUNKS)
def test_each_chunk_is_a_frame_and_the_last_has_fin(case: str) -> None:
    chunks, whole = CHUNKS[case]
    built = list(frames_of(chunks, None, None, None))
    assert len(built) == max(1, len(chunks))
    opcode = 1 if isinstance(whole, str) else 2
    firsts = [frame[0] for frame in built]
    expected = [opcode, *[0] * (len(built) - 1)]
    expected[-1] |= 0x80
    assert firsts == expected
    assert Stream(expect_masking=False).feed(b"".join(built)) == [whole]


@pytest.mark.parametrize("context", [False, True], ids=["no context", "context"])
@pytest.mark.parametrize("case", CHUNKS)
def test_compressed(case: str, context: bool) -> None:
    """Only the first frame has RSV1 (RFC 7692 section 6), and each message ends for itself."""
    chunks, whole = CHUNKS[case]
    server, client = deflate(context=context)
    stream = Stream(expect_masking=False, deflate=client)
    for _ in range(3):
        built = list(frames_of(chunks, None, True, server))
        compressed = [bool(frame[0] & 0x40) for frame in built]
        assert compressed == [bool(chunks), *[False] * (len(built) - 1)]
        assert stream.feed(b"".join(built)) == [whole]
        between = message_frame("whole " * 10, None, True, server)
        if not isinstance(between, bytes):
            between = server.frame(*between)
        assert stream.feed(between) == ["whole " * 10]


def test_the_first_chunk_is_compared_with_the_threshold() -> None:
    server, _ = deflate(context=False, threshold=10)
    for first, compress, rsv1 in [
        ("x" * 9, None, False),
        ("x" * 10, None, True),
        ("x" * 9, True, True),
        ("x" * 99, False, False),
    ]:
        built = list(frames_of([first, "x" * 99], None, compress, server))
        assert bool(built[0][0] & 0x40) is rsv1


def test_the_kind_can_be_said() -> None:
    for chunks, binary, opcode in [
        (["a", "b"], True, 2),
        ([b"a", b"b"], False, 1),
        ([], True, 2),
        ([], False, 1),
    ]:
        assert next(frames_of(chunks, binary, None, None))[0] & 0x0F == opcode


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        (["a", b"b"], "is bytes, but its first chunk was text"),
        ([b"a", "b"], "is str, but its first chunk was bytes"),
        ([5], "not int"),
        (["a", None], "not NoneType"),
    ],
)
def test_what_is_no_chunk(chunks: list[Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        list(frames_of(chunks, None, None, None))


def test_a_chunk_is_held_until_the_next_one() -> None:
    fragments = Fragments(None, None, None)
    assert fragments.add("first") is None
    assert fragments.add("second") == b"\x01\x05first"
    assert fragments.last() == b"\x80\x06second"
