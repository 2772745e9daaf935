"""The ways to unmask: each gives the same, and the best that is installed is chosen."""

from __future__ import annotations

import random
import sys

import pytest

from dualws.protocol import masking

WAYS = {
    "websockets": masking.from_websockets,
    "tornado": masking.from_tornado,
    "wsaccel": masking.from_wsaccel,
}
MODULES = {
    "websockets": "websockets.speedups",
    "tornado": "tornado.speedups",
    "wsaccel": "wsaccel.xormask",
}
FUNCTIONS = {
    "websockets": "apply_mask",
    "tornado": "unmask_tornado",
    "wsaccel": "unmask_wsaccel",
}
SIZES = [0, 1, 2, 3, 4, 5, 7, 8, 31, 125, 511, 512, 2047, 2048, 2049, 4096, 70001]


def installed(name: str) -> masking.Unmask | None:
    try:
        return WAYS[name]()
    except ImportError:
        return None


@pytest.mark.parametrize("size", SIZES)
def test_every_way_is_the_xor_of_the_rfc(size: int) -> None:
    source = random.Random(size)
    data, key = source.randbytes(size), source.randbytes(4)
    expected = bytes(byte ^ key[i % 4] for i, byte in enumerate(data))
    assert masking.unmask_python(data, key) == expected
    assert masking.unmask(data, key) == expected
    assert masking.unmask_slice(b"ab" + data + b"cd", 2, 2 + size, key) == expected
    for name in WAYS:
        unmask = installed(name)
        if unmask is not None:
            assert unmask(data, key) == expected, name


@pytest.mark.parametrize("missing", [[], ["websockets"], ["websockets", "tornado"], list(WAYS)])
def test_the_first_that_is_installed_is_chosen(
    missing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in missing:
        monkeypatch.setitem(sys.modules, MODULES[name], None)
    there = [name for name in WAYS if name not in missing and installed(name) is not None]
    chosen = masking.choose()
    if there:
        assert chosen.__name__ == FUNCTIONS[there[0]]
    else:
        assert chosen is masking.unmask_python
    assert chosen(b"\x00\xff\x00\xff\x0f", b"\x01\x02\x03\x04") == b"\x01\xfd\x03\xfb\x0e"
