"""Websocket frames on a bare socket, right and wrong ones (RFC 6455 section 5).

Law: builds whatever it is told, and reads only what a server may send.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import os
import struct

from support.raw import Head, ProtocolViolation, RawClient

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclasses.dataclass(frozen=True)
class Frame:
    """One frame from the server."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0

    @property
    def close_code(self) -> int | None:
        """Code of a close frame; None when it has none."""
        assert self.opcode == CLOSE, self
        return struct.unpack("!H", self.payload[:2])[0] if self.payload else None

    @property
    def close_reason(self) -> str:
        """Reason of a close frame."""
        assert self.opcode == CLOSE, self
        return self.payload[2:].decode()


def build(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = b"\x12\x34\x56\x78",
    length: int | None = None,
) -> bytes:
    """A client's frame.

    :param rsv: the three reserved bits, 0 to 7
    :param mask: masking key; None for an unmasked frame, which a client must not send
    :param length: announced length, when it is to differ from the payload's
    """
    size = len(payload) if length is None else length
    first = fin << 7 | rsv << 4 | opcode
    masked = 0x80 if mask is not None else 0
    if size < 126:
        head = struct.pack("!BB", first, masked | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, masked | 126, size)
    else:
        head = struct.pack("!BBQ", first, masked | 127, size)
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def close_payload(code: int, reason: str = "") -> bytes:
    """Payload of a close frame."""
    return struct.pack("!H", code) + reason.encode()


def read_frame(client: RawClient) -> Frame:
    """One frame; a masked one, or a length that is not in its shortest form, is a violation."""
    first, second = client.read(2)
    if second & 0x80:
        raise ProtocolViolation("a server's frame is masked")
    length = second & 0x7F
    if length == 126:
        (length,) = struct.unpack("!H", client.read(2))
        shortest = length > 125
    elif length == 127:
        (length,) = struct.unpack("!Q", client.read(8))
        shortest = length > 0xFFFF
    else:
        shortest = True
    if not shortest:
        raise ProtocolViolation(f"length {length} in too long a form")
    return Frame(first & 0x0F, client.read(length), bool(first & 0x80), first >> 4 & 7)


def handshake(
    client: RawClient,
    path: str,
    host: str,
    *headers: tuple[str, str],
    early: bytes = b"",
    version: str = "13",
) -> Head:
    """Ask for a websocket; the head of the answer, whose accept key is checked if it is a 101.

    :param early: bytes to send in one piece with the request
    """
    key = base64.b64encode(os.urandom(16))
    fields = (
        ("Host", host),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", key.decode()),
        ("Sec-WebSocket-Version", version),
        *headers,
    )
    client.send_request("GET", path, *fields, body=early)
    head = client.read_head()
    if head.status == 101:
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
        if head.get("Sec-WebSocket-Accept") != accept:
            raise ProtocolViolation(f"wrong accept key: {head}")
        if head.get("Content-Length") is not None or head.get("Transfer-Encoding") is not None:
            raise ProtocolViolation(f"a 101 with a length: {head}")
    return head
