"""Every websocket ends exactly once, whatever ends it."""

from __future__ import annotations

from collections.abc import Callable

from dualws_conformance import frames
from dualws_conformance.frames import CONTINUATION, TEXT
from dualws_conformance.kit import Kit
from dualws_conformance.model import STYLES, add, case, equal
from dualws_conformance.peer import Peer
from dualws_conformance.promises import END, RECEIVING, STOPPING

GROUP = "ends"

Ending = Callable[[Peer], None]


def _vanishing(*wire: bytes, how: str = "close") -> Ending:
    """Sends *wire*, then the connection's *how*."""

    def end(peer: Peer) -> None:
        if wire:
            peer.send(*wire)
        getattr(peer.client, how)()

    return end


ENDINGS: dict[str, tuple[Ending, int]] = {
    "close": (lambda peer: peer.goodbye(), 1000),
    "close-without-code": (lambda peer: peer.goodbye(None), 1005),
    "close-and-vanish": (_vanishing(frames.closing(1001)), 1001),
    "reset": (_vanishing(how="reset"), 1006),
    "half-closed": (_vanishing(how="finish"), 1006),
    "vanished": (_vanishing(), 1006),
    "violation": (lambda peer: peer.send(frames.build(3)), 1002),
    "violation-and-vanish": (_vanishing(frames.build(TEXT, b"x", mask=None)), 1002),
    "bad-text": (lambda peer: peer.send(frames.text(b"\xff")), 1007),
    "too-big": (lambda peer: peer.send(frames.build(TEXT, length=1 << 30)), 1009),
    "gone-within-a-frame": (_vanishing(frames.text("half a message")[:9], how="finish"), 1006),
    "gone-within-a-message": (
        _vanishing(
            frames.build(TEXT, b"x", fin=False),
            frames.build(CONTINUATION, b"y", fin=False),
            how="finish",
        ),
        1006,
    ),
}

for _name, (_ending, _code) in ENDINGS.items():

    def ends(kit: Kit, ending: Ending = _ending, code: int = _code) -> None:
        key = kit.key()
        peer = kit.open(query=f"key={key}")
        peer.echo("alive")
        ending(peer)
        equal(kit.notes(key)[0][0], code, "the handler's close code")
        # A second end would have left a second note by the time this one has ended.
        other = kit.key()
        kit.open(query=f"key={other}").goodbye()
        kit.notes(other)
        equal(len(kit.notes(key)), 1, "how often the handler saw the end")

    add(GROUP, _name, "RFC 6455 7.1.5", f"exactly one end: {_name.replace('-', ' ')}", ends,
        styles=STYLES)  # fmt: skip


@case(GROUP, END, "a busy handler learns of the end when it comes back", styles=STYLES)
def busy(kit: Kit) -> None:
    key = kit.key()
    peer = kit.open("busy", query=f"key={key}")
    peer.expect("busy")
    peer.send(frames.closing(1001, "gone"))
    peer.expect_failed(1001)
    kit.release(key)
    equal(kit.notes(key)[0][:3], [1001, "gone", None], "what the handler saw of the end")


@case(GROUP, RECEIVING, "receive() after the end says None again, and never blocks", styles=STYLES)
def receive_again(kit: Kit) -> None:
    key = kit.key()
    kit.open(query=f"key={key}").goodbye(1000)
    equal(kit.notes(key)[0][2:], [None, True], "receive() and ws.closed after the end")


@case(GROUP, STOPPING, "a client that vanishes within its handshake harms nobody", styles=STYLES)
def vanishes_in_handshake(kit: Kit) -> None:
    for _ in range(20):
        client = kit.connect()
        fields = (
            *(("Host", kit.host), ("Upgrade", "websocket"), ("Connection", "Upgrade")),
            *(("Sec-WebSocket-Key", frames.new_key()), ("Sec-WebSocket-Version", "13")),
        )
        client.request("GET", kit.path("echo"), *fields)
        client.reset()
    kit.open().echo("others go on")
