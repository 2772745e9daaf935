"""Building frames (RFC 6455 section 5.2) as a server sends them: never masked."""

from __future__ import annotations

import struct

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

#: first bit of a frame: it is the last of its message
FIN = 0x80
_SMALL = {
    opcode: tuple(bytes((FIN | opcode, size)) for size in range(126))
    for opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG)
}
_MEDIUM = struct.Struct("!BBH").pack
_LARGE = struct.Struct("!BBQ").pack

#: Close codes an endpoint may send (RFC 6455 section 7.4 and the IANA registry).
_SENDABLE = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})


def build(opcode: int, payload: bytes, fin: bool = True) -> bytes:
    """One frame.

    :param opcode: 4 bits (RFC 6455 section 11.8)
    :param payload: application data; at most 125 bytes in a control frame
    :param fin: whether it is the last frame of its message
    """
    size = len(payload)
    if not fin:
        return header(opcode, size, fin=False) + payload
    if size < 126:
        return _SMALL[opcode][size] + payload
    return header(opcode, size) + payload


def header(opcode: int, size: int, fin: bool = True, rsv1: bool = False) -> bytes:
    """The header of an unmasked frame with *size* bytes of payload."""
    first = opcode | (FIN if fin else 0) | (0x40 if rsv1 else 0)
    if size < 126:
        return bytes((first, size))
    if size < 0x10000:
        return _MEDIUM(first, 126, size)
    return _LARGE(first, 127, size)


def close(code: int | None, reason: str = "") -> bytes:
    """A close frame (RFC 6455 section 5.5.1).

    :param code: None for a frame without a code
    :param reason: cut to the 123 bytes of UTF-8 that fit
    """
    if code is None:
        return build(CLOSE, b"")
    data = reason.encode("utf-8")
    if len(data) > 123:
        data = data[:123].decode("utf-8", "ignore").encode("utf-8")
    return build(CLOSE, code.to_bytes(2, "big") + data)


def is_sendable(code: int) -> bool:
    """Whether a close frame may hold *code*: 1005, 1006 and 1015 never may."""
    return code in _SENDABLE or 3000 <= code <= 4999
