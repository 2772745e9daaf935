"""permessage-deflate (RFC 7692): negotiation, messages both ways, what must fail."""

from __future__ import annotations

import re
import zlib

from dualws_conformance import frames
from dualws_conformance.frames import BINARY, CONTINUATION, PING, TEXT, Deflate
from dualws_conformance.kit import Kit
from dualws_conformance.model import ACCEPTING, STYLES, add, case, check, equal, fail
from dualws_conformance.peer import Peer

GROUP = "compression"
NAME = "permessage-deflate"
#: Longer than any threshold below which a server leaves messages alone.
TEXT_DATA = "The quick brown fox jumps over the lazy dog. " * 200
_RESPONSE = re.compile(r"permessage-deflate((?:\s*;\s*[a-z_]+(?:=\d+)?)*)")


def agreed(peer_head_value: str | None) -> dict[str, str | None]:
    """The parameters of the agreed permessage-deflate; fails when it was not agreed upon."""
    if peer_head_value is None:
        fail("the server declined permessage-deflate")
    match = _RESPONSE.fullmatch(peer_head_value)
    if match is None:
        fail(f"the server answered Sec-WebSocket-Extensions: {peer_head_value}")
    parameters: dict[str, str | None] = {}
    for item in filter(None, (part.strip() for part in match[1].split(";"))):
        name, mark, value = item.partition("=")
        if name in parameters:
            fail(f"the server named the parameter {name} twice")
        parameters[name] = value if mark else None
    return parameters


def open_deflated(kit: Kit, offer: str = NAME, handler: str = "echo", query: str = "") -> Peer:
    """A websocket with the compression that the server agreed to of *offer*."""
    peer = kit.open(handler, ("Sec-WebSocket-Extensions", offer), query=query)
    parameters = agreed(peer.head.get("Sec-WebSocket-Extensions"))
    unknown = set(parameters) - {
        *("server_no_context_takeover", "client_no_context_takeover"),
        *("server_max_window_bits", "client_max_window_bits"),
    }
    check(not unknown, f"the server answered with the unknown parameters {sorted(unknown)}")
    peer.deflate = Deflate(
        client_bits=int(parameters.get("client_max_window_bits") or 15),
        server_bits=int(parameters.get("server_max_window_bits") or 15),
        client_takeover="client_no_context_takeover" not in parameters,
        server_takeover="server_no_context_takeover" not in parameters,
    )
    return peer


def packed(peer: Peer, data: bytes, opcode: int = TEXT) -> bytes:
    """A compressed message in one frame."""
    assert peer.deflate is not None
    return frames.build(opcode, peer.deflate.compress(data), rsv=4)


def round_trips(peer: Peer, *messages: str | bytes) -> None:
    """Send messages compressed, one after the other, and get them back."""
    for message in messages:
        if isinstance(message, str):
            peer.send(packed(peer, message.encode()))
        else:
            peer.send(packed(peer, message, BINARY))
        peer.expect(message)


OFFERS = {
    "plain": NAME,
    "server-no-takeover": f"{NAME}; server_no_context_takeover",
    "client-no-takeover": f"{NAME}; client_no_context_takeover",
    "no-takeovers": f"{NAME}; server_no_context_takeover; client_no_context_takeover",
    "client-bits": f"{NAME}; client_max_window_bits",
    "client-bits-15": f"{NAME}; client_max_window_bits=15",
    "client-bits-10": f"{NAME}; client_max_window_bits=10",
    "server-bits-9": f"{NAME}; server_max_window_bits=9",
    "server-bits-15": f"{NAME}; server_max_window_bits=15",
    "all": f"{NAME}; server_no_context_takeover; client_no_context_takeover; "
    "server_max_window_bits=10; client_max_window_bits=11",
    "quoted": f'{NAME}; server_max_window_bits="10"',
    "blanks": f"{NAME} ;  client_max_window_bits ; server_no_context_takeover",
}
for _name, _offer in OFFERS.items():

    def offered(kit: Kit, offer: str = _offer) -> None:
        peer = open_deflated(kit, offer)
        given = agreed(peer.head.get("Sec-WebSocket-Extensions"))
        if "server_no_context_takeover" in offer:
            check("server_no_context_takeover" in given, "server takeover is not renounced")
        wanted = re.search(r'server_max_window_bits="?(\d+)', offer)
        if wanted:
            got = int(given.get("server_max_window_bits") or 15)
            check(got <= int(wanted[1]), f"server_max_window_bits={got}, asked for {wanted[1]}")
        if "client_max_window_bits" not in offer:
            check("client_max_window_bits" not in given, "client_max_window_bits was not offered")
        asked = re.search(r"client_max_window_bits=(\d+)", offer)
        if asked:
            got = int(given.get("client_max_window_bits") or 15)
            check(got <= int(asked[1]) or given.get("client_max_window_bits") is None,
                  f"client_max_window_bits={got} is over the offered {asked[1]}")  # fmt: skip
        round_trips(peer, TEXT_DATA, TEXT_DATA.encode(), "short", "", TEXT_DATA)

    add(GROUP, f"offer-{_name}", "RFC 7692 7.1", f"the offer {_offer!r} is granted and works both "
        "ways", offered, styles=ACCEPTING)  # fmt: skip

DECLINED = {
    "unknown-parameter": f"{NAME}; unknown",
    "twice": f"{NAME}; server_no_context_takeover; server_no_context_takeover",
    "bits-7": f"{NAME}; server_max_window_bits=7",
    "bits-16": f"{NAME}; server_max_window_bits=16",
    "bits-empty": f"{NAME}; server_max_window_bits",
    "bits-leading-zero": f"{NAME}; server_max_window_bits=010",
    "client-bits-99": f"{NAME}; client_max_window_bits=99",
    "takeover-value": f"{NAME}; server_no_context_takeover=1",
    "other-name": "x-webkit-deflate-frame",
}
for _name, _offer in DECLINED.items():

    def declined(kit: Kit, offer: str = _offer) -> None:
        peer = kit.open("echo", ("Sec-WebSocket-Extensions", offer))
        given = peer.head.get("Sec-WebSocket-Extensions")
        equal(given, None, "the Sec-WebSocket-Extensions of the answer")
        peer.echo(TEXT_DATA)

    add(GROUP, f"declined-{_name}", "RFC 7692 7.1", f"the invalid offer {_offer!r} is "
        "declined, the handshake is not", declined, styles=ACCEPTING)  # fmt: skip

FALLBACKS = {
    "second-offer": f"{NAME}; unknown, {NAME}; server_no_context_takeover",
    "among-others": f"x-first, {NAME}, x-last",
    "two-good": f"{NAME}; client_max_window_bits, {NAME}",
}
for _name, _offer in FALLBACKS.items():

    def fallback(kit: Kit, offer: str = _offer) -> None:
        round_trips(open_deflated(kit, offer), TEXT_DATA, TEXT_DATA)

    add(GROUP, f"several-{_name}", "RFC 7692 5", f"of several offers ({_name.replace('-', ' ')}) "
        "the first acceptable one is granted, once", fallback, styles=ACCEPTING)  # fmt: skip


@case(GROUP, "RFC 6455 9.1", "without an offer nothing is granted and nothing compressed",
      styles=ACCEPTING)  # fmt: skip
def not_offered(kit: Kit) -> None:
    peer = kit.open()
    equal(peer.head.get("Sec-WebSocket-Extensions"), None, "the granted extensions")
    peer.echo(TEXT_DATA)


@case(GROUP, "RFC 7692 7.2.1", "large messages are sent compressed", styles=STYLES)
def compresses(kit: Kit) -> None:
    peer = open_deflated(kit)
    peer.text(TEXT_DATA)
    frame = peer.frame()
    equal(frame.rsv, 4, "the reserved bits of a large message")
    check(len(frame.payload) < len(TEXT_DATA) // 10, "a repetitive message was hardly compressed")


@case(GROUP, "RFC 7692 6", "uncompressed messages are accepted too", styles=STYLES)
def uncompressed(kit: Kit) -> None:
    peer = open_deflated(kit)
    peer.echo("plain", b"plain", TEXT_DATA)
    round_trips(peer, "packed")
    peer.echo("plain again")


@case(GROUP, "RFC 7692 6.1", "a compressed message may be fragmented", styles=ACCEPTING)
def fragmented(kit: Kit) -> None:
    peer = open_deflated(kit)
    assert peer.deflate is not None
    data = peer.deflate.compress(TEXT_DATA.encode())
    third = len(data) // 3
    peer.send(
        frames.build(TEXT, data[:third], fin=False, rsv=4),
        frames.build(PING, b"between"),
        frames.build(CONTINUATION, data[third : 2 * third], fin=False),
        frames.build(CONTINUATION, b"", fin=False),
        frames.build(CONTINUATION, data[2 * third :]),
    )
    peer.expect_pong(b"between")
    peer.expect(TEXT_DATA)


@case(GROUP, "RFC 7692 6.1", "a compressed message byte by byte", styles=ACCEPTING)
def byte_by_byte(kit: Kit) -> None:
    peer = open_deflated(kit)
    for byte in packed(peer, TEXT_DATA.encode()):
        peer.send(bytes((byte,)))
    peer.expect(TEXT_DATA)


@case(GROUP, "RFC 7692 7.2.3.6", "an empty compressed message in every form", styles=ACCEPTING)
def empty(kit: Kit) -> None:
    peer = open_deflated(kit)
    for payload in (b"\x00", b"\x02\x00", b"\x01\x00\x00\xff\xff"):
        peer.send(frames.build(TEXT, payload, rsv=4))
        peer.expect("")


@case(GROUP, "RFC 7692 7.2.3", "blocks of every type are inflated", styles=ACCEPTING)
def blocks(kit: Kit) -> None:
    peer = open_deflated(kit, f"{NAME}; client_no_context_takeover")
    for level in (0, 1, 9):
        for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_HUFFMAN_ONLY):
            packer = zlib.compressobj(level, zlib.DEFLATED, -9, 8, strategy)
            data = packer.compress(TEXT_DATA.encode()) + packer.flush(zlib.Z_SYNC_FLUSH)
            peer.send(frames.build(TEXT, data[:-4], rsv=4))
            peer.expect(TEXT_DATA)


@case(GROUP, "RFC 7692 7.2.3.5", "a final block ends a message without ending the stream",
      styles=ACCEPTING)  # fmt: skip
def final_block(kit: Kit) -> None:
    peer = open_deflated(kit, f"{NAME}; client_no_context_takeover")
    packer = zlib.compressobj(wbits=-15)
    data = packer.compress(b"Hello") + packer.flush(zlib.Z_FINISH) + b"\x00"
    for _ in range(2):
        peer.send(frames.build(TEXT, data, rsv=4))
        peer.expect("Hello")


@case(GROUP, "RFC 7692 7.1.1.1", "without takeover each message of the server stands alone",
      styles=STYLES)  # fmt: skip
def no_server_takeover(kit: Kit) -> None:
    peer = open_deflated(kit, f"{NAME}; server_no_context_takeover")
    for _ in range(3):
        peer.send(packed(peer, TEXT_DATA.encode()))
        frame = peer.frame()
        data = zlib.decompressobj(-15).decompress(frame.payload + b"\x00\x00\xff\xff")
        equal(data, TEXT_DATA.encode(), "the message inflated by itself")


@case(GROUP, "RFC 7692 7.1.2.1", "the server keeps within the window that was asked for",
      styles=STYLES)  # fmt: skip
def server_window(kit: Kit) -> None:
    peer = open_deflated(kit, f"{NAME}; server_max_window_bits=9")
    block = bytes((i * 131 + (i >> 8) * 17) & 255 for i in range(700))
    round_trips(peer, block * 20, block * 20)


def _violation(name: str, title: str, codes: tuple[int, ...], *wire: bytes) -> None:
    def run(kit: Kit) -> None:
        peer = open_deflated(kit)
        peer.send(*wire)
        peer.expect_failed(*codes)

    add(GROUP, name, "RFC 7692 6", f"{title} fails the connection", run, styles=ACCEPTING)


_violation("control-compressed", "RSV1 on a ping", (1002,), frames.build(PING, b"", rsv=4))
_violation("continuation-rsv1", "RSV1 on a continuation", (1002,),
           frames.build(TEXT, b"\x00", fin=False, rsv=4),
           frames.build(CONTINUATION, b"\x00", rsv=4))  # fmt: skip
_violation("rsv2", "RSV2", (1002,), frames.build(TEXT, b"\x00", rsv=2))
_violation("rsv1-and-rsv3", "RSV1 with RSV3", (1002,), frames.build(TEXT, b"\x00", rsv=5))
_violation("garbage", "data that is not deflated", (1002, 1007),
           frames.build(BINARY, b"\xff" * 20, rsv=4))  # fmt: skip
_violation("bad-distance", "a reference before the window", (1002, 1007),
           frames.build(BINARY, b"\x63\x00\x7b\xff\xff", rsv=4))  # fmt: skip


@case(GROUP, "RFC 6455 8.1", "invalid UTF-8 is found in what was inflated", styles=ACCEPTING)
def invalid_utf8(kit: Kit) -> None:
    peer = open_deflated(kit)
    peer.send(packed(peer, b"x" * 2000 + b"\xed\xa0\x80"))
    peer.expect_failed(1007)


@case(GROUP, "RFC 6455 10.4", "the limit is counted while inflating: a bomb is 1009", styles=STYLES)
def bomb(kit: Kit) -> None:
    peer = open_deflated(kit, handler="gulp")
    wire = packed(peer, bytes(50 << 20), BINARY)
    check(len(wire) < 262144, "the bomb itself is over the limit")
    peer.send(wire)
    peer.expect_failed(1009)


@case(GROUP, "RFC 6455 10.4", "a compressed message at the limit passes, one over it is 1009",
      styles=STYLES)  # fmt: skip
def limit(kit: Kit) -> None:
    for size, fits in ((262144, True), (262145, False)):
        peer = open_deflated(kit, handler="gulp")
        peer.send(packed(peer, b"x" * size, BINARY))
        if fits:
            equal(peer.json()[1], size, "the length that the handler received")
        else:
            peer.expect_failed(1009)


@case(GROUP, "RFC 7692 7.2.2", "many messages keep the contexts in step", styles=STYLES)
def many(kit: Kit) -> None:
    peer = open_deflated(kit)
    round_trips(peer, *(TEXT_DATA[number:] for number in range(60)))


@case(GROUP, "RFC 7692 7.2.1", "messages in flight together keep the contexts in step",
      styles=STYLES)  # fmt: skip
def pipelined(kit: Kit) -> None:
    peer = open_deflated(kit)
    messages = [TEXT_DATA[number:] for number in range(25)]
    peer.send(*(packed(peer, message.encode()) for message in messages))
    peer.expect(*messages)
