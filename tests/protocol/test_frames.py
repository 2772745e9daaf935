"""What the server sends: RFC 6455 section 5.2, and the masking of section 5.3."""

from __future__ import annotations

import random

import pytest

from dualws.protocol import frames
from dualws.protocol.masking import unmask, unmask_python


@pytest.mark.parametrize(
    ("size", "header"),
    [
        (0, b"\x82\x00"),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\x00\x7e"),
        (65535, b"\x82\x7e\xff\xff"),
        (65536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_the_length_is_in_its_shortest_form(size: int, header: bytes) -> None:
    assert frames.build(frames.BINARY, b"x" * size) == header + b"x" * size


def test_a_fragment_has_no_fin() -> None:
    assert frames.build(frames.TEXT, b"x", fin=False) == b"\x01\x01x"


def test_a_close_reason_is_cut_between_characters() -> None:
    frame = frames.close(1000, "€" * 60)
    assert frame == b"\x88\x7d\x03\xe8" + "€".encode() * 41
    assert frames.close(None) == b"\x88\x00"


@pytest.mark.parametrize("mask", [unmask, unmask_python])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 7, 511, 512, 513, 4096, 70001])
def test_masking_is_the_xor_of_the_rfc(mask: object, size: int) -> None:
    source = random.Random(size)
    data, key = source.randbytes(size), source.randbytes(4)
    expected = bytes(byte ^ key[i % 4] for i, byte in enumerate(data))
    assert mask(data, key) == expected
