"""Control frames (RFC 6455 section 5.5)."""

from __future__ import annotations

from dualws_conformance import frames
from dualws_conformance.frames import CLOSE, PING, PONG
from dualws_conformance.kit import Kit
from dualws_conformance.model import ACCEPTING, STYLES, add, case, equal, fail

GROUP = "control"
#: Pings of one packet that are answered each, the latest ones: the core sees to that.
LATEST = 16

for _size in (0, 1, 2, 124, 125):

    def ping(kit: Kit, size: int = _size) -> None:
        peer = kit.open()
        payload = bytes(255 - i for i in range(size))
        peer.send(frames.build(PING, payload))
        peer.expect_pong(payload)
        peer.echo("after")

    add(GROUP, f"ping-{_size}", "RFC 6455 5.5.3", f"a ping of {_size} bytes is answered with a "
        "pong of the same", ping, styles=STYLES)  # fmt: skip

for _opcode in (CLOSE, PING, PONG):
    _name = frames.NAMES[_opcode]

    def too_long(kit: Kit, opcode: int = _opcode) -> None:
        peer = kit.open()
        peer.send(frames.build(opcode, b"\x03\xe8" + b"x" * 124))
        peer.expect_failed(1002)

    def fragmented(kit: Kit, opcode: int = _opcode) -> None:
        peer = kit.open()
        peer.send(frames.build(opcode, b"\x03\xe8", fin=False))
        peer.expect_failed(1002)

    def reserved(kit: Kit, opcode: int = _opcode) -> None:
        peer = kit.open()
        peer.send(frames.build(opcode, b"\x03\xe8", rsv=4))
        peer.expect_failed(1002)

    add(GROUP, f"{_name}-126", "RFC 6455 5.5", f"a {_name} frame of 126 bytes fails the connection "
        "with 1002", too_long, styles=ACCEPTING)  # fmt: skip
    add(GROUP, f"{_name}-fragmented", "RFC 6455 5.5", f"a fragmented {_name} frame fails the "
        "connection with 1002", fragmented, styles=ACCEPTING)  # fmt: skip
    add(GROUP, f"{_name}-reserved-bit", "RFC 6455 5.2", f"a {_name} frame with RSV1 fails the "
        "connection with 1002", reserved, styles=ACCEPTING)  # fmt: skip


@case(GROUP, "RFC 6455 5.5.3", "an unasked pong is ignored", styles=STYLES)
def unasked_pong(kit: Kit) -> None:
    peer = kit.open()
    peer.send(frames.build(PONG, b""), frames.build(PONG, b"unasked"))
    peer.echo("still here")


@case(GROUP, "RFC 6455 5.5.2", "ten pings are answered with ten pongs in order", styles=STYLES)
def ten_pings(kit: Kit) -> None:
    peer = kit.open()
    peer.send(*(frames.build(PING, b"%d" % number) for number in range(10)))
    for number in range(10):
        peer.expect_pong(b"%d" % number)


@case(GROUP, "RFC 6455 5.5.3", "thousands of pings in one packet: pongs in order, those of the "
      "last 16 pings in any case, and a message after them", styles=STYLES)  # fmt: skip
def many_pings(kit: Kit) -> None:
    peer = kit.open()
    peer.send(*(frames.build(PING, b"%d" % number) for number in range(3000)))
    answered = [-1]
    while answered[-1] < 2999:
        pong = peer.frame("a pong")
        if pong.opcode != PONG or not answered[-1] < int(pong.payload) < 3000:
            fail(f"the server sent {pong} after the pong of ping {answered[-1]}")
        answered.append(int(pong.payload))
    equal(answered[-LATEST:], list(range(3000 - LATEST, 3000)), "the last pongs' pings")
    peer.send(frames.build(PING) * 600, frames.build(PING, b"last"))
    while (pong := peer.frame("a pong")).payload != b"last":
        equal(pong, frames.Frame(PONG, b""), "the answer to a ping")
    peer.echo("after the flood")


@case(GROUP, "RFC 6455 5.5.2", "a ping is answered while the handler is busy elsewhere",
      styles=STYLES)  # fmt: skip
def ping_while_busy(kit: Kit) -> None:
    key = kit.key()
    peer = kit.open("busy", query=f"key={key}")
    peer.expect("busy")
    kit.notes(key + ".busy")
    peer.alive()
    kit.release(key)
    peer.echo("free")


@case(GROUP, "RFC 6455 5.5.2", "a ping byte by byte is a ping", styles=STYLES)
def ping_byte_by_byte(kit: Kit) -> None:
    peer = kit.open()
    for byte in frames.build(PING, b"slow"):
        peer.send(bytes((byte,)))
    peer.expect_pong(b"slow")


@case(GROUP, "RFC 6455 5.5.2", "a handler can ping, and its pong is no message", styles=STYLES)
def handler_pings(kit: Kit) -> None:
    peer = kit.open("asks")
    equal(peer.expect_ping(), b"are you there", "the ping")
    peer.send(frames.build(PONG, b"are you there"))
    peer.echo("a message")


@case(GROUP, "RFC 6455 5.5", "pings between messages change nothing about their order",
      styles=STYLES)  # fmt: skip
def interleaved(kit: Kit) -> None:
    peer = kit.open()
    for number in range(20):
        peer.send(frames.text(f"{number}"))
        peer.expect(f"{number}")
        peer.alive()


@case(GROUP, "RFC 6455 5.5.1", "after the close frame a ping is not answered", styles=STYLES)
def ping_after_close(kit: Kit) -> None:
    peer = kit.open()
    peer.send(frames.closing(1000), frames.build(PING, b"late"), frames.text("late"))
    peer.expect_failed(1000)
