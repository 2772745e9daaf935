"""XOR with the four-byte masking key (RFC 6455 section 5.3), by the fastest means installed.

``unmask(data, key)`` returns the masked or unmasked copy of *data* as bytes. The figures
behind the order of preference are in docs/compression.md.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

Unmask = Callable[[bytes, bytes], bytes]

#: Below this the big-integer XOR is quicker than translating slices.
_TRANSLATE_FROM = 2048
#: From here on it pays to hand a view to the accelerator instead of a slice.
_VIEW_FROM = 4096


def unmask_python(data: bytes, key: bytes) -> bytes:
    """The standard library alone: a big integer for small data, ``bytes.translate`` for large."""
    size = len(data)
    if size < _TRANSLATE_FROM:
        pattern = (key * (size // 4 + 1))[:size]
        return (int.from_bytes(data, "little") ^ int.from_bytes(pattern, "little")).to_bytes(
            size, "little"
        )
    result = bytearray(size)
    for i in range(4):
        result[i::4] = data[i::4].translate(_table(key[i]))
    return bytes(result)


@cache
def _table(value: int) -> bytes:
    return bytes(byte ^ value for byte in range(256))


def from_websockets() -> Unmask:
    """The accelerator of websockets.

    :raises ImportError: it is not installed, or without its compiled part
    """
    from websockets.speedups import apply_mask

    accelerated: Unmask = apply_mask
    return accelerated


def from_tornado() -> Unmask:
    """The accelerator of Tornado; nothing else of Tornado is imported with it.

    :raises ImportError: it is not installed, or without its compiled part
    """
    from tornado.speedups import websocket_mask

    def unmask_tornado(data: bytes, key: bytes) -> bytes:
        masked: bytes = websocket_mask(key, data)
        return masked

    return unmask_tornado


def from_wsaccel() -> Unmask:
    """The accelerator of wsaccel.

    :raises ImportError: it is not installed
    """
    from wsaccel.xormask import XorMaskerSimple

    def unmask_wsaccel(data: bytes, key: bytes) -> bytes:
        masked: bytes = XorMaskerSimple(key).process(data)
        return masked

    return unmask_wsaccel


def choose() -> Unmask:
    """The fastest that is installed."""
    for accelerator in (from_websockets, from_tornado, from_wsaccel):
        try:
            return accelerator()
        except ImportError:
            continue
    return unmask_python


unmask: Unmask = choose()


def _takes_views() -> bool:
    view: Any = memoryview(b"abcd")
    try:
        return unmask(view, b"\0\0\0\0") == b"abcd"
    except (TypeError, AttributeError):
        return False


_VIEWS = _takes_views()


def unmask_slice(data: bytes, start: int, stop: int, key: bytes) -> bytes:
    """The same for a slice of *data*, which is not copied twice where that can be avoided."""
    if _VIEWS and stop - start >= _VIEW_FROM:
        return unmask(memoryview(data)[start:stop], key)  # type: ignore[arg-type]  # it takes them
    return unmask(data[start:stop], key)
