"""Fragmented messages (RFC 6455 section 5.4)."""

from __future__ import annotations

from dualws_conformance import frames
from dualws_conformance.frames import BINARY, CONTINUATION, PING, PONG, TEXT
from dualws_conformance.kit import Kit
from dualws_conformance.model import ACCEPTING, STYLES, add, case

GROUP = "fragmentation"
SECTION = "RFC 6455 5.4"


def pieces(opcode: int, *payloads: bytes) -> list[bytes]:
    """The frames of one message in pieces."""
    last = len(payloads) - 1
    return [
        frames.build(CONTINUATION if number else opcode, payload, fin=number == last)
        for number, payload in enumerate(payloads)
    ]


for _count in (2, 3, 10, 1000):
    for _kind in ("text", "binary"):

        def fragments(kit: Kit, count: int = _count, kind: str = _kind) -> None:
            peer = kit.open()
            parts = [b"part %d " % number for number in range(count)]
            peer.send(*pieces(TEXT if kind == "text" else BINARY, *parts))
            whole = b"".join(parts)
            peer.expect(whole.decode() if kind == "text" else whole)

        add(GROUP, f"{_kind}-in-{_count}", SECTION, f"a {_kind} message in {_count} frames is one "
            "message", fragments, styles=STYLES)  # fmt: skip


@case(GROUP, SECTION, "fragments may be empty", styles=STYLES)
def empty(kit: Kit) -> None:
    peer = kit.open()
    peer.send(*pieces(TEXT, b"", b"", b"middle", b""))
    peer.expect("middle")
    peer.send(*pieces(BINARY, b"", b""))
    peer.expect(b"")


@case(GROUP, SECTION, "control frames between fragments are answered at once", styles=STYLES)
def control_between(kit: Kit) -> None:
    peer = kit.open()
    first, second = pieces(TEXT, b"one ", b"two")
    peer.send(first, frames.build(PING, b"between"))
    peer.expect_pong(b"between")
    peer.send(frames.build(PONG, b"unasked"), second)
    peer.expect("one two")


@case(GROUP, SECTION, "nothing is delivered before the last fragment", styles=STYLES)
def not_before_end(kit: Kit) -> None:
    peer = kit.open()
    parts = pieces(TEXT, b"a", b"b", b"c")
    for part in parts[:-1]:
        peer.send(part)
        peer.alive()
    peer.send(parts[-1])
    peer.expect("abc")


def violation(name: str, title: str, *wire: bytes) -> None:
    """Register a case: *wire* fails the connection with 1002."""

    def run(kit: Kit) -> None:
        peer = kit.open()
        peer.send(*wire)
        peer.expect_failed(1002)

    add(GROUP, name, SECTION, f"{title} fails the connection with 1002", run, styles=ACCEPTING)


violation("continuation-first", "a continuation without a message",
          frames.build(CONTINUATION, b"x"))  # fmt: skip
violation("continuation-first-open", "a continuation without a message, not its last,",
          frames.build(CONTINUATION, b"x", fin=False))  # fmt: skip
violation("text-inside", "a text frame inside a fragmented message",
          frames.build(TEXT, b"x", fin=False), frames.text("y"))  # fmt: skip
violation("binary-inside", "a binary frame inside a fragmented message",
          frames.build(TEXT, b"x", fin=False), frames.binary(b"y"))  # fmt: skip
violation("start-inside", "a second start inside a fragmented message",
          frames.build(BINARY, b"x", fin=False), frames.build(BINARY, b"y", fin=False))  # fmt: skip


@case(GROUP, SECTION, "after a whole message a continuation is a violation", styles=ACCEPTING)
def continuation_after(kit: Kit) -> None:
    peer = kit.open()
    peer.send(*pieces(TEXT, b"a", b"b"), frames.build(CONTINUATION, b"c"))
    peer.expect("ab")
    peer.expect_failed(1002)


@case(GROUP, "RFC 6455 5.4", "a large message in small fragments arrives whole", styles=STYLES)
def large(kit: Kit) -> None:
    peer = kit.open()
    payload = bytes(range(256)) * 800
    parts = [payload[start : start + 1000] for start in range(0, len(payload), 1000)]
    peer.send(*pieces(BINARY, *parts))
    peer.expect(payload)


@case(GROUP, "RFC 6455 5.5", "a close inside a fragmented message ends it", styles=STYLES)
def close_inside(kit: Kit) -> None:
    peer = kit.open()
    peer.send(frames.build(TEXT, b"never", fin=False))
    peer.goodbye(1001, "leaving")
