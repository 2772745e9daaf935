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


def json_payload(size: int) -> bytes:
    """The first *size* bytes of JSON, as repetitive as a list of an application's records is."""
    text = "["
    number = 0
    while len(text) < size:
        number += 1
        text += (
            f'{{"id": {number * 7919 % 10007}, "user": "user-{number * 31 % 97}", '
            f'"text": "{payload(20 + number * 13 % 37).decode()}", "seen": true}},'
        )
    # Nobody reads it: it may end in the middle of a record.
    return text[:size].encode()


def echoed(data: bytes, text: bool) -> bytes:
    """The unmasked frame in which a server sends *data* back (section 5.2)."""
    return _header(len(data), text, 0) + data


def masked(data: bytes, text: bool, *, compressed: bool = False) -> bytes:
    """A frame as a client sends it, with a random key (section 5.3); RSV1 when compressed."""
    key = os.urandom(4)
    pattern = (key * (len(data) // 4 + 1))[: len(data)]
    body = int.from_bytes(data, "big") ^ int.from_bytes(pattern, "big")
    header = bytearray(_header(len(data), text, 0x80))
    if compressed:
        header[0] |= 0x40
    return bytes(header) + key + body.to_bytes(len(data), "big")


def _header(size: int, text: bool, mask: int) -> bytes:
    first = 0x80 | (_TEXT if text else _BINARY)
    if size < 126:
        return bytes((first, mask | size))
    if size < 0x10000:
        return bytes((first, mask | 126)) + size.to_bytes(2, "big")
    return bytes((first, mask | 127)) + size.to_bytes(8, "big")


def handshake(host: str, port: int, path: str, *, deflate: bool = False, cookie: str = "") -> bytes:
    """An opening handshake (section 4.1), with a browser's offer to compress if *deflate*."""
    more = ""
    if deflate:
        more += "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    if cookie:
        more += f"Cookie: {cookie}\r\n"
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        f"Sec-WebSocket-Version: 13\r\n{more}Origin: http://{host}:{port}\r\n\r\n"
    ).encode("ascii")


def request(host: str, port: int, path: str) -> bytes:
    """A GET as a browser's script sends it."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: Mozilla/5.0 (load)\r\n"
        "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\nAccept-Language: en\r\n"
        "Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n\r\n"
    ).encode("ascii")
