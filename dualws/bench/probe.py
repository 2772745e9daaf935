"""Asks a server once, before the load, what its answers will look like.

Law: the load compares and counts; what cannot be known without the server (the agreed
compression, the head of an HTTP answer) is learnt here, and judged here.
"""

from __future__ import annotations

import re
import socket
import zlib

from dualws.bench import wire
from dualws.bench.errors import BenchmarkError

_PATIENCE = 20.0
#: What a Z_SYNC_FLUSH ends with, and a message leaves away (RFC 7692 section 7.2.1).
_TAIL = b"\x00\x00\xff\xff"


class _Reader:
    """Reads from a socket by what must come."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._data = b""

    def _more(self) -> None:
        data = self._sock.recv(65536)
        if not data:
            raise BenchmarkError(f"the server closed in the middle of an answer: {self._data!r}")
        self._data += data

    def exactly(self, size: int) -> bytes:
        while len(self._data) < size:
            self._more()
        data, self._data = self._data[:size], self._data[size:]
        return data

    def until(self, mark: bytes) -> bytes:
        while mark not in self._data:
            self._more()
        return self.exactly(self._data.index(mark) + len(mark))


def _header(head: bytes, name: bytes) -> bytes:
    found = re.search(rb"\r\n" + name + rb":[ \t]*([^\r]*)", head, re.IGNORECASE)
    return found[1].strip() if found else b""


def compressed_ring(
    host: str, port: int, opening: bytes, data: bytes, kinds: int
) -> tuple[bytes, ...]:
    """*data* as *kinds* compressed messages that the server at *port* understands.

    One of them is sent, and its echo inflated, to be sure of that.

    :raises BenchmarkError: the server does not compress, or its echo is something else
    """
    with socket.create_connection((host, port), _PATIENCE) as sock:
        sock.sendall(opening)
        reader = _Reader(sock)
        head = reader.until(b"\r\n\r\n")
        agreed = _header(head, b"sec-websocket-extensions")
        if not agreed.startswith(b"permessage-deflate"):
            raise BenchmarkError(f"the server does not compress: {head!r}")
        limit = re.search(rb"client_max_window_bits=\"?(\d+)", agreed)
        packer = zlib.compressobj(wbits=-int(limit[1]) if limit else -15)
        packed = (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_TAIL)
        ring = tuple(wire.masked(packed, True, compressed=True) for _ in range(kinds))
        sock.sendall(ring[0])
        echo, opcode = b"", 0
        while True:
            first, length = reader.exactly(2)
            if length > 125:
                length = int.from_bytes(reader.exactly(2 if length == 126 else 8), "big")
            payload = reader.exactly(length)
            if first & 0x08:
                continue
            opcode = opcode or first
            echo += payload
            if first & 0x80:
                break
        sock.sendall(wire.CLOSE)
    if not opcode & 0x40:
        raise BenchmarkError("the server agreed to compress and did not")
    if zlib.decompressobj(-15).decompress(echo + _TAIL) != data:
        raise BenchmarkError(f"the server did not echo what was sent: {echo[:64]!r}")
    return ring


def http_answer(host: str, port: int, request: bytes) -> tuple[bytes, bytes]:
    """What *request* is answered with, and a mask that leaves its date out.

    :raises BenchmarkError: not a 200, or another answer to the second request
    """
    answers = []
    with socket.create_connection((host, port), _PATIENCE) as sock:
        reader = _Reader(sock)
        for _ in range(2):
            sock.sendall(request)
            head = reader.until(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 "):
                raise BenchmarkError(f"the request was refused: {head!r}")
            if b"chunked" in _header(head, b"transfer-encoding"):
                body = reader.until(b"0\r\n\r\n")
            else:
                body = reader.exactly(int(_header(head, b"content-length") or 0))
            answers.append(head + body)
    answer = answers[0]
    mask = bytearray(b"\xff" * len(answer))
    date = re.search(rb"\r\ndate:([^\r]*)", answer, re.IGNORECASE)
    if date:
        mask[slice(*date.span(1))] = bytes(len(date[1]))
    pairs = zip(answers[1], answer, mask, strict=False)
    if len(answers[1]) != len(answer) or any((a ^ b) & m for a, b, m in pairs):
        raise BenchmarkError(f"the same request has different answers: {answers!r}")
    return answer, bytes(mask)
