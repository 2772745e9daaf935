"""Data frames: every form of length, reserved bits and opcodes, splits across packets."""

from __future__ import annotations

from dualws_conformance import frames
from dualws_conformance.frames import BINARY, PING, TEXT
from dualws_conformance.kit import Kit
from dualws_conformance.model import ACCEPTING, STYLES, add, case, equal

GROUP = "framing"

for _size in (0, 1, 2, 3, 4, 5, 124, 125, 126, 127, 128, 65535, 65536, 65537, 200_000):
    for _kind in ("text", "binary"):

        def sized(kit: Kit, size: int = _size, kind: str = _kind) -> None:
            message = "*" * size if kind == "text" else bytes(i & 255 for i in range(size))
            peer = kit.open()
            peer.echo(message)
            peer.goodbye()

        add(GROUP, f"{_kind}-{_size}", "RFC 6455 5.2", f"a {_kind} message of {_size} bytes is "
            "echoed in the shortest form of its length", sized, styles=STYLES)  # fmt: skip

for _rsv in range(1, 8):

    def reserved_bits(kit: Kit, rsv: int = _rsv) -> None:
        peer = kit.open()
        peer.echo("before")
        peer.send(frames.build(TEXT, b"x", rsv=rsv))
        peer.expect_failed(1002)

    add(GROUP, f"rsv-{_rsv:03b}", "RFC 6455 5.2", f"reserved bits {_rsv:03b} without an extension "
        "fail the connection with 1002", reserved_bits, styles=ACCEPTING)  # fmt: skip

for _opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):

    def reserved_opcode(kit: Kit, opcode: int = _opcode) -> None:
        peer = kit.open()
        peer.send(frames.build(opcode, b"x"))
        peer.expect_failed(1002)

    add(GROUP, f"opcode-{_opcode}", "RFC 6455 5.2", f"the reserved opcode {_opcode} fails the "
        "connection with 1002", reserved_opcode, styles=ACCEPTING)  # fmt: skip

for _length, _form in ((5, 3), (125, 3), (5, 9), (126, 9), (65535, 9)):

    def long_form(kit: Kit, length: int = _length, form: int = _form) -> None:
        peer = kit.open()
        peer.send(frames.build(BINARY, bytes(length), form=form))
        peer.expect_failed(1002)

    add(GROUP, f"length-{_length}-in-{_form}-bytes", "RFC 6455 5.2", f"the length {_length} in the "
        f"form of {_form} bytes is not the shortest: 1002", long_form,
        styles=ACCEPTING)  # fmt: skip

for _slug, _announced in (("2-63", 1 << 63), ("2-64", (1 << 64) - 1)):

    def too_long(kit: Kit, announced: int = _announced) -> None:
        peer = kit.open()
        peer.send(frames.build(BINARY, length=announced))
        peer.expect_failed(1002, 1009)

    add(GROUP, f"length-{_slug}", "RFC 6455 5.2", "a length whose highest bit is set fails the "
        "connection at once", too_long, styles=ACCEPTING)  # fmt: skip


@case(GROUP, "RFC 6455 5.2", "a frame may come byte by byte", styles=ACCEPTING)
def byte_by_byte(kit: Kit) -> None:
    peer = kit.open()
    for byte in frames.text("slowly") + frames.binary(bytes(130)):
        peer.send(bytes((byte,)))
    peer.expect("slowly", bytes(130))


@case(GROUP, "RFC 6455 5.2", "many frames may come in one packet", styles=STYLES)
def many_at_once(kit: Kit) -> None:
    peer = kit.open()
    peer.echo(*(f"message {number}" for number in range(500)))


@case(GROUP, "RFC 6455 5.2", "a frame may be split at every byte", styles=ACCEPTING)
def every_split(kit: Kit) -> None:
    peer = kit.open()
    wire = frames.text("Hellö") + frames.binary(bytes(200))
    for split in range(1, len(wire)):
        peer.send(wire[:split])
        peer.send(wire[split:])
        peer.expect("Hellö", bytes(200))


@case(GROUP, "RFC 6455 5.2", "good frames before a bad one are answered before the close",
      styles=STYLES)  # fmt: skip
def good_before_bad(kit: Kit) -> None:
    peer = kit.open()
    peer.send(
        frames.text("one"),
        frames.build(PING, b"two"),
        frames.binary(b"three"),
        frames.build(TEXT, b"bad", rsv=3),
        frames.text("after"),
    )
    found: set[object] = set()
    for _ in range(3):
        frame = peer.frame()
        found.add((frame.opcode, frame.payload))
    equal(found, {(1, b"one"), (10, b"two"), (2, b"three")}, "the answers before the close")
    peer.expect_failed(1002)


@case(GROUP, "RFC 6455 5.2", "nothing after a bad frame is answered", styles=ACCEPTING)
def nothing_after_bad(kit: Kit) -> None:
    peer = kit.open()
    peer.send(frames.build(3, b""), frames.text("after"), frames.build(PING, b"after"))
    peer.expect_failed(1002)


@case(GROUP, "RFC 6455 5.6", "text stays text and binary stays binary", styles=STYLES)
def kinds(kit: Kit) -> None:
    peer = kit.open()
    peer.echo("abc", b"abc", "", b"")


@case(GROUP, "RFC 6455 5.4", "messages are answered in the order in which they came", styles=STYLES)
def order(kit: Kit) -> None:
    peer = kit.open()
    for burst in range(20):
        peer.echo(*(f"{burst}.{number}" for number in range(20)))
