"""Websocket frames as bytes, right and wrong ones, and RFC 6455's handshake from the client's side.

Law: it builds whatever it is told to, and knows nothing of the server's code.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import itertools
import os
import struct
import zlib

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
NAMES = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}

#: Masking key of frames that are not given one.
MASK = b"\x12\x34\x56\x78"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TAIL = b"\x00\x00\xff\xff"


@dataclasses.dataclass(frozen=True)
class Frame:
    """One frame from the server."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0

    @property
    def code(self) -> int | None:
        """Code of a close frame; None when it has none."""
        return int.from_bytes(self.payload[:2], "big") if self.payload else None

    @property
    def reason(self) -> str:
        """Reason of a close frame."""
        return self.payload[2:].decode("utf-8", "backslashreplace")

    def __str__(self) -> str:
        name = NAMES.get(self.opcode, f"opcode {self.opcode}")
        if self.opcode == CLOSE:
            return f"a close frame with code {self.code} and reason {self.reason!r}"
        shown = repr(self.payload[:60]) + ("…" if len(self.payload) > 60 else "")
        return f"a {name} frame of {len(self.payload)} bytes ({shown})"


def masked(payload: bytes, key: bytes) -> bytes:
    """*payload* under masking key *key* (RFC 6455 section 5.3)."""
    size = len(payload)
    pad = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")


def build(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = MASK,
    length: int | None = None,
    form: int | None = None,
) -> bytes:
    """A client's frame.

    :param rsv: the three reserved bits, 0 to 7
    :param mask: masking key; None for an unmasked frame, which a client must not send
    :param length: announced length, when it is to differ from the payload's
    :param form: bytes of the length: 1, 3 or 9; the shortest by default
    """
    size = len(payload) if length is None else length
    first = fin << 7 | rsv << 4 | opcode
    bit = 0x80 if mask is not None else 0
    if form is None:
        form = 1 if size < 126 else 3 if size < 1 << 16 else 9
    if form == 1:
        head = struct.pack("!BB", first, bit | size)
    elif form == 3:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    return head + payload if mask is None else head + mask + masked(payload, mask)


def text(data: str | bytes) -> bytes:
    """A whole text message."""
    return build(TEXT, data.encode() if isinstance(data, str) else data)


def binary(data: bytes) -> bytes:
    """A whole binary message."""
    return build(BINARY, data)


def closing(code: int | None = 1000, reason: str | bytes = "") -> bytes:
    """A close frame; *code* None leaves the payload empty."""
    if code is None:
        return build(CLOSE)
    data = reason.encode() if isinstance(reason, str) else reason
    return build(CLOSE, struct.pack("!H", code) + data)


_numbers = itertools.count(1)


def new_key() -> str:
    """A Sec-WebSocket-Key that was not used before."""
    return base64.b64encode(struct.pack("!Q", next(_numbers)) + os.urandom(8)).decode()


def accept_key(key: str) -> str:
    """The Sec-WebSocket-Accept that belongs to *key* (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()


class Deflate:
    """The client's side of permessage-deflate (RFC 7692 section 7).

    :param client_bits: window of what is sent, 9 to 15
    :param server_bits: window of what is received, 9 to 15
    :param client_takeover: keep the context from one sent message to the next
    :param server_takeover: the same of received ones
    """

    def __init__(
        self,
        client_bits: int = 15,
        server_bits: int = 15,
        client_takeover: bool = True,
        server_takeover: bool = True,
    ) -> None:
        self._bits = client_bits, server_bits
        self._takeover = client_takeover, server_takeover
        self._deflater = zlib.compressobj(wbits=-client_bits)
        self._inflater = zlib.decompressobj(-server_bits)

    def compress(self, data: bytes) -> bytes:
        """The payload of one message, without its tail."""
        if not self._takeover[0]:
            self._deflater = zlib.compressobj(wbits=-self._bits[0])
        packed = self._deflater.compress(data) + self._deflater.flush(zlib.Z_SYNC_FLUSH)
        return packed.removesuffix(_TAIL)

    def inflate(self, data: bytes) -> bytes:
        """The message of one payload.

        :raises zlib.error: it is not deflated, or refers to more than was agreed upon
        """
        if not self._takeover[1]:
            self._inflater = zlib.decompressobj(-self._bits[1])
        return self._inflater.decompress(data + _TAIL)
