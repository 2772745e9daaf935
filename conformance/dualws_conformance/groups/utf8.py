"""UTF-8 in text messages (RFC 6455 section 8.1, RFC 3629)."""

from __future__ import annotations

from dualws_conformance import frames
from dualws_conformance.frames import CONTINUATION, TEXT
from dualws_conformance.kit import Kit
from dualws_conformance.model import ACCEPTING, STYLES, add, case

GROUP = "utf8"
SECTION = "RFC 6455 8.1"

VALID = {
    "ascii": "plain",
    "nul": "\x00",
    "two-bytes-first": "\x80",
    "two-bytes-last": "\u07ff",
    "three-bytes-first": "\u0800",
    "before-surrogates": "\ud7ff",
    "after-surrogates": "\ue000",
    "replacement": "\ufffd",
    "non-characters": "\ufffe\uffff",
    "four-bytes-first": "\U00010000",
    "last": "\U0010ffff",
    "greek": "κόσμε",
    "emoji": "👩‍👩‍👧‍👦",
    "byte-order-mark": "\ufeffx",
    "combining": "e\u0301",
}
INVALID = {
    "continuation-alone": b"\x80",
    "continuation-alone-bf": b"\xbf",
    "continuations": b"\x80\xbf\x80\xbf",
    "two-bytes-cut": b"\xc3",
    "three-bytes-cut": b"\xe2\x82",
    "four-bytes-cut": b"\xf0\x9f\x98",
    "cut-then-ascii": b"\xe2\x82x",
    "two-bytes-then-blank": b"\xc3 ",
    "overlong-slash-2": b"\xc0\xaf",
    "overlong-slash-3": b"\xe0\x80\xaf",
    "overlong-slash-4": b"\xf0\x80\x80\xaf",
    "overlong-nul": b"\xc0\x80",
    "overlong-2-last": b"\xc1\xbf",
    "overlong-3-last": b"\xe0\x9f\xbf",
    "overlong-4-last": b"\xf0\x8f\xbf\xbf",
    "surrogate-first": b"\xed\xa0\x80",
    "surrogate-last": b"\xed\xbf\xbf",
    "surrogate-pair": b"\xed\xa0\x80\xed\xb0\x80",
    "beyond-10ffff": b"\xf4\x90\x80\x80",
    "five-bytes": b"\xf8\x88\x80\x80\x80",
    "six-bytes": b"\xfc\x84\x80\x80\x80\x80",
    "byte-fe": b"\xfe",
    "byte-ff": b"\xff",
    "latin-1": "größe".encode("latin-1"),
    "utf-16": "text".encode("utf-16"),
}
#: The first bytes by which each can be told to be invalid, where that is before its end.
EARLY = {
    "overlong-2": (b"ok \xc0", b"\x80"),
    "overlong-3": (b"ok \xe0\x80", b"\x80"),
    "surrogate": (b"ok \xed\xa0", b"\x80"),
    "beyond-10ffff": (b"ok \xf4\x90", b"\x80\x80"),
    "five-bytes": (b"ok \xf8", b"\x88\x80\x80\x80"),
    "not-a-continuation": (b"ok \xe2\x28", b"\xa1"),
}

for _name, _text in VALID.items():

    def valid(kit: Kit, text: str = _text) -> None:
        peer = kit.open()
        peer.echo(text)
        data = text.encode()
        # The same, a byte in each frame.
        last = len(data) - 1
        peer.send(
            *(
                frames.build(CONTINUATION if i else TEXT, data[i : i + 1], fin=i == last)
                for i in range(len(data))
            )
        )
        peer.expect(text)

    add(GROUP, f"valid-{_name}", SECTION, f"valid text ({_name}) is echoed, also when frames cut "
        "its characters", valid, styles=STYLES)  # fmt: skip

for _name, _data in INVALID.items():

    def invalid(kit: Kit, data: bytes = _data) -> None:
        peer = kit.open()
        peer.send(frames.text(b"before " + data))
        peer.expect_failed(1007)

    def invalid_in_fragments(kit: Kit, data: bytes = _data) -> None:
        peer = kit.open()
        peer.send(frames.build(TEXT, b"before ", fin=False))
        for byte in data:
            peer.send(frames.build(CONTINUATION, bytes((byte,)), fin=False))
        peer.send(frames.build(CONTINUATION, b"", fin=True))
        peer.expect_failed(1007)

    add(GROUP, f"invalid-{_name}", SECTION, f"invalid text ({_name}) fails the connection with "
        "1007", invalid, styles=ACCEPTING)  # fmt: skip
    add(GROUP, f"invalid-{_name}-in-frames", SECTION, f"invalid text ({_name}) in frames of a byte "
        "fails it too", invalid_in_fragments, styles=ACCEPTING)  # fmt: skip

for _name, (_bad, _rest) in EARLY.items():

    def early(kit: Kit, bad: bytes = _bad) -> None:
        peer = kit.open()
        # The rest never comes: a server that waits for it does not answer.
        peer.send(frames.build(TEXT, bad, fin=False))
        peer.expect_failed(1007)

    def early_in_frame(kit: Kit, bad: bytes = _bad, rest: bytes = _rest) -> None:
        peer = kit.open()
        whole = frames.text(bad + rest + bytes(1000))
        peer.send(whole[: 8 + len(bad)])
        peer.expect_failed(1007)

    add(GROUP, f"early-{_name}", SECTION, f"invalid text ({_name}) fails at its first bad byte, in "
        "a fragment", early, styles=ACCEPTING)  # fmt: skip
    add(GROUP, f"early-{_name}-in-frame", SECTION, f"invalid text ({_name}) fails at its first bad "
        "byte, within a frame", early_in_frame, styles=ACCEPTING)  # fmt: skip


@case(GROUP, SECTION, "binary messages are not looked at", styles=STYLES)
def binary(kit: Kit) -> None:
    kit.open().echo(*INVALID.values())


@case(GROUP, SECTION, "good messages before invalid text are answered before the close",
      styles=STYLES)  # fmt: skip
def good_before_bad(kit: Kit) -> None:
    peer = kit.open()
    peer.send(frames.text("one"), frames.text("two"), frames.text(b"\xff"))
    peer.expect("one", "two")
    peer.expect_failed(1007)


@case(GROUP, SECTION, "every character may be cut anywhere", styles=ACCEPTING)
def every_cut(kit: Kit) -> None:
    peer = kit.open()
    text = "κόσμε 👩 ￿"
    data = text.encode()
    for cut in range(1, len(data)):
        peer.send(frames.build(TEXT, data[:cut], fin=False), frames.build(CONTINUATION, data[cut:]))
        peer.expect(text)
