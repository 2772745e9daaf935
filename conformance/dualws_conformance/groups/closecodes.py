"""Close codes (RFC 6455 section 7.4 and the IANA registry)."""

from __future__ import annotations

from dualws_conformance import frames
from dualws_conformance.kit import Kit
from dualws_conformance.model import ACCEPTING, STYLES, add, equal

GROUP = "closecodes"

VALID = (*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999)
INVALID = (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
#: What a handler may close with.
SENDABLE = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999)

for _code in VALID:

    def valid(kit: Kit, code: int = _code) -> None:
        key = kit.key()
        kit.open(query=f"key={key}").goodbye(code, "a reason")
        equal(kit.notes(key)[0][:2], [code, "a reason"], "the handler's close code and reason")

    add(GROUP, f"valid-{_code}", "RFC 6455 7.4", f"the close code {_code} is valid and answered "
        "with itself", valid, styles=STYLES)  # fmt: skip

for _code in INVALID:

    def invalid(kit: Kit, code: int = _code) -> None:
        peer = kit.open()
        peer.send(frames.closing(code))
        peer.expect_failed(1002)

    add(GROUP, f"invalid-{_code}", "RFC 6455 7.4", f"the close code {_code} may not be sent: 1002",
        invalid, styles=ACCEPTING)  # fmt: skip

for _code in SENDABLE:

    def sent(kit: Kit, code: int = _code) -> None:
        peer = kit.open("closes", query=f"key={kit.key()}")
        peer.text(f"{code} because")
        peer.expect_close(code, reason="because")
        peer.send(frames.closing(code))
        peer.client.expect_end()

    add(GROUP, f"sent-{_code}", "RFC 6455 7.4", f"a handler can close with {_code}", sent,
        styles=STYLES)  # fmt: skip
