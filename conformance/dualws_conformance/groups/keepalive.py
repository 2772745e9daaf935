"""Pings of the server's own, on a server that sends them soon."""

from __future__ import annotations

from dualws_conformance import frames
from dualws_conformance.frames import CLOSE, PING, PONG
from dualws_conformance.kit import Kit
from dualws_conformance.model import STYLES, case, equal, fail
from dualws_conformance.promises import LIMITS

GROUP = "keepalive"
_OPTIONS = ("--ping-interval", "0.4", "--ping-timeout", "0.4")


@case(GROUP, "RFC 6455 5.5.2", "a silent client is pinged, and one that answers stays",
      styles=STYLES)  # fmt: skip
def pinged(kit: Kit) -> None:
    kit.move(*_OPTIONS)
    peer = kit.open()
    for _ in range(3):
        peer.send(frames.build(PONG, peer.expect_ping()))
    peer.echo("still here")


@case(GROUP, "RFC 6455 7.4.1", "a client that answers nothing is closed with 1011", styles=STYLES)
def closed(kit: Kit) -> None:
    kit.move(*_OPTIONS)
    key = kit.key()
    peer = kit.open(query=f"key={key}")
    peer.expect_ping()
    while (frame := peer.frame("a close frame")).opcode == PING:
        pass
    equal((frame.opcode, frame.code), (CLOSE, 1011), "the frame and its code")
    equal(kit.notes(key)[0][0], 1011, "the handler's close code")


@case(GROUP, "RFC 6455 5.5.3", "any byte of the client counts as a sign of life", styles=STYLES)
def any_byte(kit: Kit) -> None:
    kit.move(*_OPTIONS)
    peer = kit.open()
    # It answers no ping, but sends at each: after six intervals it must still be there.
    pings = 0
    for _ in range(40):
        frame = peer.frame()
        if frame.opcode == PING:
            pings += 1
            if pings == 6:
                return
            peer.send(frames.build(PONG, b"something else"))
        elif frame.opcode == CLOSE:
            fail(f"a client that sent bytes was closed: {frame}")


@case(GROUP, LIMITS, "an interval of 0 switches pings off", styles=STYLES)
def off(kit: Kit) -> None:
    kit.open().client.expect_silence()
