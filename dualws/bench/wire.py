"""Bytes that are made before the clock runs: handshakes, masked frames and their echoes."""

from __future__ import annotations

import os

#: Opcodes (RFC 6455 section 11.8).
_TEXT, _BINARY = 0x1, 0x2
#: A masked close frame with code 1000 and a key of zeros (section 5.5.1).
CLOSE = bytes((0x88, 0x82, 0, 0, 0, 0)) + (1000).to_bytes(2, "big")


def payload(size: int) -> bytes:
    """ASCII, so that it is valid text of as many characters as bytes."""
    letters = b"abcdefghijklmnopqrstuvwxyz0123456789"
    return (letters * (size // len(letters) + 1))[:size]


def echoed(data: bytes, text: bool) -> bytes:
    """The unmasked frame in which a server sends *data* back (section 5.2)."""
    return _header(len(data), text, 0) + data


def masked(data: bytes, text: bool) -> bytes:
    """A frame as a client sends it, with a random key (section 5.3)."""
    key = os.urandom(4)
    pattern = (key * (len(data) // 4 + 1))[: len(data)]
    body = int.from_bytes(data, "big") ^ int.from_bytes(pattern, "big")
    return _header(len(data), text, 0x80) + key + body.to_bytes(len(data), "big")


def _header(size: int, text: bool, mask: int) -> bytes:
    first = 0x80 | (_TEXT if text else _BINARY)
    if size < 126:
        return bytes((first, mask | size))
    if size < 0x10000:
        return bytes((first, mask | 126)) + size.to_bytes(2, "big")
    return bytes((first, mask | 127)) + size.to_bytes(8, "big")


def handshake(host: str, port: int, path: str) -> bytes:
    """An opening handshake without extensions (section 4.1)."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        f"Sec-WebSocket-Version: 13\r\nOrigin: http://{host}:{port}\r\n\r\n"
    ).encode("ascii")
