"""What a server's stream must make of any bytes: RFC 6455 and RFC 7692 read once more.

Law: shares no code with dualws and no way of working either. It takes one byte after the other,
in the order of the RFCs' sentences, and is as slow as that is. Only zlib is the same.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterator

#: A message, or ("ping" | "pong", data), ("close", code, reason), ("fail", codes).
Event = object

_END_OF_MESSAGE = b"\x00\x00\xff\xff"


@dataclasses.dataclass(frozen=True)
class Compression:
    """The client's side of an agreement on permessage-deflate."""

    takeover: bool = False
    bits: int = 15


class Violation(Exception):
    """The connection must be failed with one of these close codes."""

    def __init__(self, *codes: int) -> None:
        self.codes = frozenset(codes)


class Incomplete(Exception):
    """The bytes are used up."""


def expect(data: bytes, max_size: int, compression: Compression | None = None) -> list[Event]:
    """The events of a client's bytes, to the last one that is complete or wrong."""
    return _Reader(data, max_size, compression).run()


class _Text:
    """UTF-8 (RFC 3629 section 4), byte by byte."""

    def __init__(self) -> None:
        self._next: list[tuple[int, int]] = []

    def add(self, byte: int) -> None:
        if self._next:
            low, high = self._next.pop(0)
            if not low <= byte <= high:
                raise Violation(1007)
            return
        tail = (0x80, 0xBF)
        if byte <= 0x7F:
            return
        if 0xC2 <= byte <= 0xDF:
            self._next = [tail]
        elif 0xE0 <= byte <= 0xEF:
            second = {0xE0: (0xA0, 0xBF), 0xED: (0x80, 0x9F)}.get(byte, tail)
            self._next = [second, tail]
        elif 0xF0 <= byte <= 0xF4:
            second = {0xF0: (0x90, 0xBF), 0xF4: (0x80, 0x8F)}.get(byte, tail)
            self._next = [second, tail, tail]
        else:
            raise Violation(1007)

    def end(self) -> None:
        if self._next:
            raise Violation(1007)


class _Inflate:
    """The inflater of a connection; ``None`` until there is data for one."""

    def __init__(self, compression: Compression) -> None:
        self.compression = compression
        self.zlib: zlib._Decompress | None = None
        self.touched = False

    def byte(self, byte: int) -> bytes:
        self.touched = True
        if self.zlib is None:
            self.zlib = zlib.decompressobj(-self.compression.bits)
        try:
            output = self.zlib.decompress(bytes([byte]))
        except zlib.error:
            raise Violation(1007) from None
        if self.zlib.eof:
            assert not self.zlib.unused_data
            self.zlib = None
            self.touched = False
        return output

    def end(self) -> Iterator[bytes]:
        if not self.touched:
            return
        for byte in _END_OF_MESSAGE:
            yield self.byte(byte)
        # A message ends where a block ends: only there another one, the last, may follow.
        if self.zlib is not None and not _ends_a_block(self.zlib.copy()):
            raise Violation(1007)
        if not self.compression.takeover:
            self.zlib = None
        self.touched = False


def _ends_a_block(inflater: zlib._Decompress) -> bool:
    try:
        output = inflater.decompress(b"\x01\x00\x00\xff\xff")
        return inflater.eof and not output and not inflater.unused_data
    except zlib.error:
        return False


class _Reader:
    def __init__(self, data: bytes, max_size: int, compression: Compression | None) -> None:
        self.data = data
        self.position = 0
        self.max_size = max_size
        self.inflate = None if compression is None else _Inflate(compression)
        self.events: list[Event] = []
        # the message under way
        self.kind = 0
        self.compressed = False
        self.message = bytearray()
        self.text = _Text()

    def run(self) -> list[Event]:
        try:
            while self.frame():
                pass
        except Incomplete:
            pass
        except Violation as violation:
            self.events.append(("fail", violation.codes))
        return self.events

    def byte(self) -> int:
        if self.position == len(self.data):
            raise Incomplete
        self.position += 1
        return self.data[self.position - 1]

    def bytes(self, count: int) -> bytes:
        return bytes(self.byte() for _ in range(count))

    def frame(self) -> bool:
        first, second = self.bytes(2)
        fin, rsv1, rsv23, opcode = first >> 7, first >> 6 & 1, first >> 4 & 3, first & 15
        if not second >> 7 or rsv23 or opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
            raise Violation(1002)
        if rsv1 and (self.inflate is None or opcode not in (1, 2)):
            raise Violation(1002)
        length = second & 127
        if opcode >= 8:
            if not fin or length > 125:
                raise Violation(1002)
            return self.control(opcode, self.unmask(length))
        if bool(self.kind) is not (opcode == 0):
            raise Violation(1002)
        length = self.length(length)
        compressed = bool(rsv1) if opcode else self.compressed
        if not compressed and len(self.message) + length > self.max_size:
            raise Violation(1009)
        key = self.bytes(4)
        if opcode:
            self.kind, self.compressed = opcode, compressed
        for index in range(length):
            self.payload(self.byte() ^ key[index % 4])
        if fin:
            self.finish()
        return True

    def length(self, short: int) -> int:
        if short < 126:
            return short
        size = int.from_bytes(self.bytes(2 if short == 126 else 8), "big")
        if size < (126 if short == 126 else 65536) or size >> 63:
            raise Violation(1002)
        return size

    def unmask(self, length: int) -> bytes:
        key = self.bytes(4)
        return bytes(byte ^ key[i % 4] for i, byte in enumerate(self.bytes(length)))

    def payload(self, byte: int) -> None:
        if not self.compressed:
            self.add(byte)
            return
        assert self.inflate is not None
        self.inflated(self.inflate.byte(byte))

    def inflated(self, output: bytes) -> None:
        for byte in output:
            if len(self.message) == self.max_size:
                # Bytes behind the one too many may be no deflate data, which may be seen first.
                raise Violation(1009, 1007)
            self.add(byte)

    def add(self, byte: int) -> None:
        if self.kind == 1:
            self.text.add(byte)
        self.message.append(byte)

    def finish(self) -> None:
        if self.compressed:
            assert self.inflate is not None
            for output in self.inflate.end():
                self.inflated(output)
        message = bytes(self.message)
        if self.kind == 1:
            self.text.end()
            self.events.append(message.decode())
        else:
            self.events.append(message)
        self.kind, self.compressed, self.message = 0, False, bytearray()

    def control(self, opcode: int, data: bytes) -> bool:
        if opcode != 8:
            self.events.append(("ping" if opcode == 9 else "pong", data))
            return True
        code, reason = 1005, data[2:]
        if data:
            code = int.from_bytes(data[:2], "big")
            registered = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014}
            if len(data) == 1 or not (code in registered or 3000 <= code <= 4999):
                raise Violation(1002)
        text = _Text()
        for byte in reason:
            text.add(byte)
        text.end()
        self.events.append(("close", code, reason.decode()))
        return False
