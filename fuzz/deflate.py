"""Feeds any bytes to permessage-deflate as compressed data, and as messages to compress.

Law: inflating raises nothing but InvalidData, says the same however the input is cut, and gives at
most one byte more than there is room for; what is compressed, whole or in pieces, inflates to
what it was.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

import atheris

with atheris.instrument_imports(include=["dualws.protocol"]):
    from dualws.protocol import frames
    from dualws.protocol.deflate import Agreement, Deflate, InvalidData

from fuzz.driver import cut, run

_HEAD = 4
ROOM = 2000


def agreement(options: int, bits: int) -> Agreement:
    """One of those that can be negotiated."""
    return Agreement(
        server_no_context_takeover=bool(options & 1),
        client_no_context_takeover=bool(options & 2),
        server_max_window_bits=8 + bits % 8,
        client_max_window_bits=8 + (bits >> 3) % 8 if options & 4 else None,
    )


def check(data: bytes) -> None:
    """One input."""
    if len(data) < _HEAD:
        return
    options, bits, *where = data[:_HEAD]
    agreed = agreement(options, bits)
    body = data[_HEAD:]
    found = receive(Deflate(agreed), [body])
    if receive(Deflate(agreed), cut(body, *where) or [b""]) != found:
        raise AssertionError("what is inflated depends on how it is cut")
    check_round(agreed, body, where)


def receive(deflate: Deflate, pieces: Iterable[bytes]) -> tuple[bytes, str]:
    """A message and what became of it, as far as its end, its room or its first fault."""
    room, got = ROOM, bytearray()
    pieces = list(pieces)
    try:
        for number, piece in enumerate(pieces):
            for inflated in deflate.inflate(piece, room, number == len(pieces) - 1):
                if not inflated or len(inflated) > room + 1:
                    raise AssertionError(f"{len(inflated)} bytes for {room}")
                got += inflated
                room -= len(inflated)
                if room < 0:
                    return bytes(got[:ROOM]), "too large"
    except InvalidData:
        # How much came before the fault depends on the pieces.
        return b"", "invalid"
    return bytes(got), "whole"


def check_round(agreed: Agreement, body: bytes, where: Iterable[int]) -> None:
    """What is compressed is inflated again, by zlib as by us, message after message."""
    ours = Deflate(agreed, threshold=0)
    # The peer's side: what the server may keep, the inflater of its messages must keep.
    mirrored = Agreement(
        server_no_context_takeover=True,
        client_no_context_takeover=agreed.server_no_context_takeover,
        server_max_window_bits=15,
        client_max_window_bits=max(agreed.server_max_window_bits, 9),
    )
    peer = Deflate(mirrored)
    for message in messages(body):
        frame = ours.frame(frames.BINARY, message, always=True)
        # The header has 2 or 4 bytes, by the length of what follows.
        header = 2 if frame[1] < 126 else 4
        expect(peer, [frame[header:]], message)
        parts = cut(message, *where) or [b""]
        compressor = ours.compressor()
        last = len(parts) - 1
        sent = [ours.piece(compressor, part, last=i == last) for i, part in enumerate(parts)]
        expect(peer, sent, message)


def messages(body: bytes) -> Iterator[bytes]:
    """A few messages, some alike."""
    half = body[: len(body) // 2][: ROOM // 2]
    yield half
    yield b""
    yield half * 2


def expect(peer: Deflate, pieces: list[bytes], message: bytes) -> None:
    """The pieces inflate to the message."""
    found = receive(peer, pieces)
    if found != (message, "whole"):
        raise AssertionError(f"{message!r} came back as {found}")


def seeds() -> Iterator[bytes]:
    """Inputs to begin with: streams of several kinds of blocks, whole and cut."""
    text = b"Hello, hello, hello " * 20
    for level in (0, 1, 9):
        compressor = zlib.compressobj(level, wbits=-15)
        body = compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH)
        for options in range(0, 8, 3):
            yield bytes([options, 0xFF, 5, 30]) + body[:-4]
    final = zlib.compressobj(wbits=-9)
    yield bytes([2, 9, 1, 2]) + final.compress(text) + final.flush() + b"\x00"
    bomb = zlib.compressobj(wbits=-15)
    yield bytes([0, 63, 3, 9]) + bomb.compress(bytes(100_000)) + bomb.flush(zlib.Z_SYNC_FLUSH)


if __name__ == "__main__":
    run(check, seeds())
