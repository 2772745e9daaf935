"""Bytes that come together with the handshake, before the 101 is out."""

from __future__ import annotations

from dualws_conformance import frames
from dualws_conformance.frames import BINARY, PING
from dualws_conformance.kit import Kit
from dualws_conformance.model import STYLES, case

GROUP = "early"
SECTION = "RFC 6455 4.1"


@case(GROUP, SECTION, "a message in the handshake's packet is not lost", styles=STYLES)
def message(kit: Kit) -> None:
    kit.open(early=frames.text("early")).expect("early")


@case(GROUP, SECTION, "half a message in the handshake's packet is not lost", styles=STYLES)
def half(kit: Kit) -> None:
    wire = frames.text("and split")
    for cut in range(1, len(wire)):
        peer = kit.open(early=wire[:cut])
        peer.send(wire[cut:])
        peer.expect("and split")


@case(GROUP, SECTION, "a large message in the handshake's packet is not lost", styles=STYLES)
def large(kit: Kit) -> None:
    payload = bytes(range(256)) * 800
    kit.open(early=frames.binary(payload)).expect(payload)


@case(GROUP, SECTION, "many early messages keep their order", styles=STYLES)
def many(kit: Kit) -> None:
    messages = [f"early {number}" for number in range(200)]
    peer = kit.open(early=b"".join(map(frames.text, messages)))
    peer.expect(*messages)
    peer.echo("and later")


@case(GROUP, SECTION, "an early ping is answered", styles=STYLES)
def ping(kit: Kit) -> None:
    kit.open(early=frames.build(PING, b"early")).expect_pong(b"early")


@case(GROUP, SECTION, "an early close is answered", styles=STYLES)
def close(kit: Kit) -> None:
    peer = kit.open(early=frames.text("last") + frames.closing(1001))
    peer.expect("last")
    peer.expect_close(1001)
    peer.client.expect_end()


@case(GROUP, SECTION, "an early violation fails the connection after the 101", styles=STYLES)
def violation(kit: Kit) -> None:
    kit.open(early=frames.build(BINARY, b"x", mask=None)).expect_failed(1002)


@case(GROUP, SECTION, "a client that leaves with its early message still has it handled",
      styles=STYLES)  # fmt: skip
def leaves(kit: Kit) -> None:
    key = kit.key()
    peer = kit.open(query=f"key={key}", early=frames.text("early") + frames.closing(1000))
    peer.client.finish()
    kit.notes(key)


@case(GROUP, SECTION, "early bytes after an ordinary request on the same connection", styles=STYLES)
def after_request(kit: Kit) -> None:
    client = kit.connect()
    client.request("GET", "/status/200/", ("Host", kit.host))
    client.response()
    kit.open(client=client, early=frames.text("early")).expect("early")
