"""Feeds any bytes to the stream and compares with the model of the tests.

Law: whatever the bytes and however they are cut, the stream raises nothing, holds its
limits, and says what the model says.

``tox -e fuzz`` runs it with the others; longer by hand with libFuzzer's own options::

    python -m fuzz.stream -max_total_time=3600 CORPUS_FOLDER

Without a folder it begins with the seeds of this module. A failure leaves its input in a
file ``crash-…``; ``python -m fuzz.stream crash-…`` runs that alone.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterable

import atheris

with atheris.instrument_imports(include=["dualws.protocol"]):
    from dualws.errors import HandshakeError
    from dualws.protocol.deflate import Agreement, Deflate
    from dualws.protocol.extensions import parse
    from dualws.protocol.stream import Close, Failure, Ping, Pong, Stream
    from dualws.sentinels import ENDED, WAIT
    from tests.support.noted import Case
    from tests.support.stream_model import Compression, expect

from fuzz.driver import run

# The first bytes of an input choose what is negotiated and where the rest is cut.
_HEAD = 4
MAX_SIZE = 300


def check(data: bytes) -> None:
    """One input."""
    check_header(data)
    if len(data) < _HEAD:
        return
    options, first, second, bits = data[:_HEAD]
    compression = Compression(bool(options & 1), 8 + bits % 8) if options & 2 else None
    body = data[_HEAD:]
    cuts = sorted({first % (len(body) + 1), second % (len(body) + 1)})
    wanted = expect(body, MAX_SIZE, compression)
    for each in ([], cuts, range(1, len(body))):
        compare(receive(body, each, compression), wanted)
        if compression is None:
            check_connection(body, each, wanted)


def check_connection(body: bytes, cuts: Iterable[int], wanted: list[object]) -> None:
    """A connection, whose hot path may be compiled, gives its handler the same messages."""
    connection = Case(max_message_size=MAX_SIZE).connection
    found: list[object] = []
    start = 0
    for cut in [*cuts, len(body)]:
        connection.data_received(body[start:cut])
        while (message := connection.take(None)) not in (WAIT, ENDED):
            found.append(message)
        start = cut
    messages = [event for event in wanted if isinstance(event, str | bytes)]
    if found != messages:
        raise AssertionError(f"the handler is given {found}, not {messages}")


def check_header(data: bytes) -> None:
    """The same bytes as a Sec-WebSocket-Extensions header: parsed or refused, nothing else."""
    with contextlib.suppress(HandshakeError):
        parse(data.decode("latin-1"))


def receive(body: bytes, cuts: Iterable[int], compression: Compression | None) -> list[object]:
    """What the stream says, in the model's words."""
    deflate = None
    if compression is not None:
        agreement = Agreement(
            server_no_context_takeover=True,
            client_no_context_takeover=not compression.takeover,
            server_max_window_bits=15,
            client_max_window_bits=compression.bits,
        )
        deflate = Deflate(agreement)
    stream = Stream(MAX_SIZE, deflate=deflate)
    events: list[object] = []
    start = 0
    for cut in [*cuts, len(body)]:
        for event in stream.feed(body[start:cut]):
            if isinstance(event, Ping | Pong):
                events.append((type(event).__name__.lower(), event.data))
            elif isinstance(event, Close):
                events.append(("close", *event))
            elif isinstance(event, Failure):
                events.append(("fail", frozenset({event.code})))
            else:
                events.append(event)
        start = cut
    return events


def compare(found: list[object], wanted: list[object]) -> None:
    """Equal, where a failure may have one of several codes."""
    if found and wanted:
        got, allowed = found[-1], wanted[-1]
        if isinstance(got, tuple) and isinstance(allowed, tuple) and got[0] == allowed[0] == "fail":
            if not got[1] <= allowed[1]:
                raise AssertionError(f"failed with {got}, not with {allowed}")
            found, wanted = found[:-1], wanted[:-1]
    if found != wanted:
        raise AssertionError(f"the stream says {found}, the model {wanted}")


def seeds() -> Iterable[bytes]:
    """Inputs to begin with: good messages, plain and compressed, whole and in pieces."""
    key = b"\x00\x00\x00\x00"
    compressor = zlib.compressobj(wbits=-15)
    packed = compressor.compress(b"Hello " * 9) + compressor.flush(zlib.Z_SYNC_FLUSH)
    final = zlib.compressobj(wbits=-15)
    ended = final.compress(b"Hello") + final.flush() + b"\x00"
    hello = "hé€𝄞".encode()
    for body in (
        b"\x81" + bytes([0x80 | len(hello)]) + key + hello,
        b"\x01\x83" + key + b"abc" + b"\x89\x80" + key + b"\x80\x81" + key + b"d",
        b"\xc1" + bytes([0x80 | len(packed) - 4]) + key + packed[:-4],
        b"\x42\x83"
        + key
        + packed[:3]
        + b"\x80"
        + bytes([0x80 | len(packed) - 7])
        + key
        + packed[3:-4],
        b"\xc2" + bytes([0x80 | len(ended)]) + key + ended,
        b"\x82\xfe\x00\x80" + key + bytes(128) + b"\x88\x85" + key + b"\x03\xe8bye",
    ):
        for options in (0, 2, 3):
            yield bytes([options, 3, 9, 7]) + body
    yield b'permessage-deflate; client_max_window_bits="10", x-other; a=b'


if __name__ == "__main__":
    run(check, seeds())
