"""XOR with the four-byte masking key (RFC 6455 section 5.3), by the fastest means installed.

``unmask(data, key)`` returns the masked or unmasked copy of *data* as bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

Unmask = Callable[[bytes, bytes], bytes]

#: Below this the big-integer XOR is quicker than translating slices.
_TRANSLATE_FROM = 512


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


def _accelerated() -> Unmask | None:
    try:
        from websockets.speedups import apply_mask
    except ImportError:
        pass
    else:
        accelerated: Unmask = apply_mask
        return accelerated
    # The compiled module only: nothing of Tornado itself is imported with it.
    try:
        from tornado.speedups import websocket_mask
    except ImportError:
        return None

    def unmask_tornado(data: bytes, key: bytes) -> bytes:
        masked: bytes = websocket_mask(key, data)
        return masked

    return unmask_tornado


unmask: Unmask = _accelerated() or unmask_python
