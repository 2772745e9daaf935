"""The message size limit: one byte below, at it, one above (RFC 6455 section 10.4)."""

from __future__ import annotations

from dualws_conformance import frames
from dualws_conformance.frames import BINARY, CONTINUATION, TEXT
from dualws_conformance.kit import Kit
from dualws_conformance.model import ACCEPTING, STYLES, add, case, equal

GROUP = "limits"
SECTION = "RFC 6455 10.4"
#: ``--max-message-size`` of the kit's server.
LIMIT = 262144

for _kind, _opcode in (("text", TEXT), ("binary", BINARY)):
    for _size in (LIMIT - 1, LIMIT):

        def fits(kit: Kit, opcode: int = _opcode, size: int = _size) -> None:
            peer = kit.open("gulp")
            peer.send(frames.build(opcode, b"x" * size))
            equal(peer.json()[1], size, "the length that the handler received")

        def fits_in_frames(kit: Kit, opcode: int = _opcode, size: int = _size) -> None:
            peer = kit.open("gulp")
            peer.send(frames.build(opcode, b"x" * (size - 1), fin=False))
            peer.send(frames.build(CONTINUATION, b"x"))
            equal(peer.json()[1], size, "the length that the handler received")

        add(GROUP, f"{_kind}-{_size}", SECTION, f"a {_kind} message of {_size} bytes passes (limit "
            f"{LIMIT})", fits, styles=STYLES)  # fmt: skip
        add(GROUP, f"{_kind}-{_size}-in-frames", SECTION, f"a {_kind} message of {_size} bytes in "
            "two frames passes", fits_in_frames, styles=STYLES)  # fmt: skip

    def over(kit: Kit, opcode: int = _opcode) -> None:
        peer = kit.open("gulp")
        peer.send(frames.build(opcode, b"x" * (LIMIT + 1)))
        peer.expect_failed(1009)

    def over_in_frames(kit: Kit, opcode: int = _opcode) -> None:
        peer = kit.open("gulp")
        peer.send(frames.build(opcode, b"x" * LIMIT, fin=False))
        peer.alive()
        peer.send(frames.build(CONTINUATION, b"x"))
        peer.expect_failed(1009)

    def over_announced(kit: Kit, opcode: int = _opcode) -> None:
        peer = kit.open("gulp")
        # Only the header: the server need not wait for what it will refuse.
        peer.send(frames.build(opcode, length=LIMIT + 1))
        peer.expect_failed(1009)

    add(GROUP, f"{_kind}-over", SECTION, f"a {_kind} message one byte over the limit: 1009", over,
        styles=ACCEPTING)  # fmt: skip
    add(GROUP, f"{_kind}-over-in-frames", SECTION, f"a {_kind} message over the limit by its last "
        "frame: 1009", over_in_frames, styles=ACCEPTING)  # fmt: skip
    add(GROUP, f"{_kind}-over-announced", SECTION, f"a {_kind} frame that announces more than the "
        "limit: 1009 at once", over_announced, styles=ACCEPTING)  # fmt: skip


@case(GROUP, SECTION, "the handler of a refused message sees 1009, others see nothing",
      styles=STYLES)  # fmt: skip
def told(kit: Kit) -> None:
    key = kit.key()
    other = kit.open()
    peer = kit.open(query=f"key={key}")
    peer.send(frames.build(BINARY, length=1 << 40))
    peer.expect_failed(1009)
    equal(kit.notes(key)[0][0], 1009, "the handler's close code")
    other.echo("unharmed")


@case(GROUP, SECTION, "the limit is for each message, not for all together", styles=STYLES)
def each(kit: Kit) -> None:
    peer = kit.open("gulp")
    for _ in range(4):
        peer.send(frames.binary(bytes(LIMIT - 1)))
        equal(peer.json()[1], LIMIT - 1, "the length that the handler received")


@case(GROUP, SECTION, "good messages before one that is too big are answered", styles=STYLES)
def good_before_big(kit: Kit) -> None:
    peer = kit.open()
    peer.send(frames.text("one"), frames.text("two"), frames.build(TEXT, length=LIMIT + 1))
    peer.expect("one", "two")
    peer.expect_failed(1009)
