"""An inflater of RFC 1951 that tells how far back a stream looks, which zlib does not tell."""

from __future__ import annotations

import dataclasses

_LENGTHS = [(3 + i, 0) for i in range(8)]
_LENGTHS += [(11, 1), (13, 1), (15, 1), (17, 1), (19, 2), (23, 2), (27, 2), (31, 2)]
_LENGTHS += [(35, 3), (43, 3), (51, 3), (59, 3), (67, 4), (83, 4), (99, 4), (115, 4)]
_LENGTHS += [(131, 5), (163, 5), (195, 5), (227, 5), (258, 0)]
_DISTANCES = [(1, 0), (2, 0), (3, 0), (4, 0)]
_DISTANCES += [((2 + i % 2 << i // 2) + 1, i // 2) for i in range(2, 28)]
_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]


@dataclasses.dataclass
class Inflated:
    """What the stream holds, and its furthest look back."""

    data: bytearray
    furthest: int = 0


def inflate(stream: bytes) -> Inflated:
    """Inflate a raw stream up to its final block, or to its end at the end of a block."""
    return _Inflater(stream).run()


class _Inflater:
    def __init__(self, stream: bytes) -> None:
        self.stream = stream
        self.position = 0
        self.result = Inflated(bytearray())

    def bits(self, count: int) -> int:
        value = 0
        for shift in range(count):
            byte = self.stream[self.position >> 3]
            value |= (byte >> (self.position & 7) & 1) << shift
            self.position += 1
        return value

    def run(self) -> Inflated:
        final = False
        while not final and self.position < 8 * len(self.stream):
            final = bool(self.bits(1))
            kind = self.bits(2)
            if kind == 0:
                self.stored()
            elif kind == 1:
                lengths = [8] * 144 + [9] * 112 + [7] * 24 + [8] * 8
                self.block(_codes(lengths), _codes([5] * 30))
            else:
                assert kind == 2, "block type 3"
                self.block(*self.tables())
        return self.result

    def stored(self) -> None:
        self.position = (self.position + 7) // 8 * 8
        size, check = self.bits(16), self.bits(16)
        assert size ^ check == 0xFFFF, "lengths of a stored block"
        self.result.data += bytes(self.bits(8) for _ in range(size))

    def tables(self) -> tuple[dict[tuple[int, int], int], dict[tuple[int, int], int]]:
        literals, distances, count = self.bits(5) + 257, self.bits(5) + 1, self.bits(4) + 4
        first = [0] * 19
        for index in range(count):
            first[_ORDER[index]] = self.bits(3)
        codes = _codes(first)
        lengths: list[int] = []
        while len(lengths) < literals + distances:
            symbol = self.symbol(codes)
            if symbol < 16:
                lengths.append(symbol)
            elif symbol == 16:
                lengths += lengths[-1:] * (3 + self.bits(2))
            else:
                lengths += [0] * (3 + self.bits(3) if symbol == 17 else 11 + self.bits(7))
        return _codes(lengths[:literals]), _codes(lengths[literals:])

    def symbol(self, codes: dict[tuple[int, int], int]) -> int:
        code = 0
        for size in range(1, 16):
            code = code << 1 | self.bits(1)
            if (size, code) in codes:
                return codes[size, code]
        raise AssertionError("no such code")

    def block(
        self, literals: dict[tuple[int, int], int], distances: dict[tuple[int, int], int]
    ) -> None:
        data = self.result.data
        while (symbol := self.symbol(literals)) != 256:
            if symbol < 256:
                data.append(symbol)
                continue
            length, extra = _LENGTHS[symbol - 257]
            length += self.bits(extra)
            distance, extra = _DISTANCES[self.symbol(distances)]
            distance += self.bits(extra)
            assert distance <= len(data), "looks back past the beginning"
            self.result.furthest = max(self.result.furthest, distance)
            for _ in range(length):
                data.append(data[-distance])


def _codes(lengths: list[int]) -> dict[tuple[int, int], int]:
    """Canonical Huffman codes (section 3.2.2): (length, code) to symbol."""
    codes = {}
    code = 0
    for size in range(1, 16):
        for symbol, length in enumerate(lengths):
            if length == size:
                codes[size, code] = symbol
                code += 1
        code <<= 1
    return codes
