"""Masking (RFC 6455 sections 5.1 and 5.3)."""

from __future__ import annotations

from dualws_conformance import frames
from dualws_conformance.frames import CLOSE, CONTINUATION, PING, PONG, TEXT
from dualws_conformance.kit import Kit
from dualws_conformance.model import ACCEPTING, add, case

GROUP = "masking"

for _opcode in (TEXT, frames.BINARY, PING, PONG, CLOSE):
    _name = frames.NAMES[_opcode]

    def unmasked(kit: Kit, opcode: int = _opcode) -> None:
        peer = kit.open()
        peer.echo("before")
        peer.send(frames.build(opcode, b"\x03\xe8", mask=None))
        peer.expect_failed(1002)

    add(GROUP, f"unmasked-{_name}", "RFC 6455 5.1", f"an unmasked {_name} frame fails the "
        "connection with 1002", unmasked, styles=ACCEPTING)  # fmt: skip

for _slug, _key in (
    ("zero", bytes(4)),
    ("ones", b"\xff" * 4),
    ("one-byte", b"\x01\x00\x00\x00"),
    ("ascii", b"abcd"),
):

    def keyed(kit: Kit, key: bytes = _key) -> None:
        peer = kit.open()
        for size in (0, 1, 3, 4, 5, 1000, 70000):
            payload = bytes(i * 7 & 255 for i in range(size))
            peer.send(frames.build(frames.BINARY, payload, mask=key))
            peer.expect(payload)

    add(GROUP, f"key-{_slug}", "RFC 6455 5.3", f"masking key {_key.hex()} unmasks every length",
        keyed, styles=ACCEPTING)  # fmt: skip


@case(GROUP, "RFC 6455 5.3", "every frame of a message has a key of its own", styles=ACCEPTING)
def keys_per_frame(kit: Kit) -> None:
    peer = kit.open()
    peer.send(
        frames.build(TEXT, b"one ", fin=False, mask=b"\x01\x02\x03\x04"),
        frames.build(CONTINUATION, b"two ", fin=False, mask=b"\xf1\xf2\xf3\xf4"),
        frames.build(CONTINUATION, b"three", mask=bytes(4)),
    )
    peer.expect("one two three")


@case(
    GROUP, "RFC 6455 5.3", "the key goes on where a packet ended within a payload", styles=ACCEPTING
)
def key_across_packets(kit: Kit) -> None:
    peer = kit.open()
    payload = bytes(range(256)) * 300
    wire = frames.binary(payload)
    for cut in (15, 16, 17, 18, 1000, 50_001):
        peer.send(wire[:cut])
        peer.send(wire[cut:])
        peer.expect(payload)


@case(
    GROUP,
    "RFC 6455 5.1",
    "a continuation without a mask fails the connection too",
    styles=ACCEPTING,
)
def unmasked_continuation(kit: Kit) -> None:
    peer = kit.open()
    peer.send(
        frames.build(TEXT, b"one", fin=False),
        frames.build(CONTINUATION, b"two", mask=None),
    )
    peer.expect_failed(1002)
