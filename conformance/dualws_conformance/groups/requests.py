"""Requests that are none: a clear refusal and the end of the connection."""

from __future__ import annotations

from functools import partial

from dualws_conformance.groups.smuggling import answers
from dualws_conformance.kit import Kit
from dualws_conformance.model import add, case, check, equal, fail

GROUP = "requests"

_LINE, _HOST, _FIELD = "RFC 9112 3", "RFC 9112 3.2", "RFC 9112 5"
_END = b"\r\nHost: a\r\n\r\n"
_HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"

BAD: dict[str, tuple[str, bytes]] = {
    "garbage": (_LINE, b"garbage\r\n\r\n"),
    "tls": (_LINE, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    "method-alone": (_LINE, b"GET\r\n\r\n"),
    "http-0-9": (_LINE, b"GET /\r\n\r\n"),
    "two-blanks": (_LINE, b"GET  / HTTP/1.1" + _END),
    "trailing-blank": (_LINE, b"GET / HTTP/1.1 " + _END),
    "more-words": (_LINE, b"GET / HTTP/1.1 more" + _END),
    "leading-blank": (_LINE, b" GET / HTTP/1.1" + _END),
    "tab-as-blank": (_LINE, b"GET\t/\tHTTP/1.1" + _END),
    "nul-in-method": (_LINE, b"G\x00T / HTTP/1.1" + _END),
    "bad-method": (_LINE, b"G@T / HTTP/1.1" + _END),
    "nul-in-target": (_LINE, b"GET /\x00 HTTP/1.1" + _END),
    "del-in-target": (_LINE, b"GET /\x7f HTTP/1.1" + _END),
    "relative-target": ("RFC 9112 3.2.1", b"GET foo HTTP/1.1" + _END),
    "ftp-target": ("RFC 9112 3.2.2", b"GET ftp://a/ HTTP/1.1" + _END),
    "lower-case-http": ("RFC 9112 2.3", b"GET / http/1.1" + _END),
    "version-letters": ("RFC 9112 2.3", b"GET / HTTP/x.y" + _END),
    "version-2": ("RFC 9112 2.3", b"GET / HTTP/2.0" + _END),
    "no-host": (_HOST, b"GET / HTTP/1.1\r\n\r\n"),
    "two-hosts": (_HOST, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    "nul-in-host": (_HOST, b"GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n"),
    "no-colon": (_FIELD, b"GET / HTTP/1.1\r\nHost: a\r\nno colon here\r\n\r\n"),
    "no-name": (_FIELD, b"GET / HTTP/1.1\r\nHost: a\r\n: no name\r\n\r\n"),
    "blank-in-name": (_FIELD, b"GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n"),
    "control-in-value": (_FIELD, b"GET / HTTP/1.1\r\nHost: a\r\nX-A: a\x01b\r\n\r\n"),
    "cr-in-value": ("RFC 9112 2.2", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\rc\r\n\r\n"),
}


def refused(kit: Kit, data: bytes) -> None:
    """A 400 (or 505), or nothing, then the end."""
    statuses = [answer.status for answer in answers(kit, data)]
    if statuses not in ([], [400], [501], [505]):
        fail(f"the server answered {statuses}, expected 400 or a closed connection")
    equal(kit.get("/status/200/").status, 200, "the status of the next client's answer")


for _name, (_section, _data) in BAD.items():
    _title = f"{_name.replace('-', ' ')}: refused with 400"
    add(
        GROUP,
        _name,
        _section,
        _title,
        partial(refused, data=_data),
    )


@case(GROUP, "RFC 9112 3", "garbage is answered with 400 and Connection: close")
def told(kit: Kit) -> None:
    client = kit.connect()
    client.send(b"garbage\r\n\r\n")
    answer = client.response()
    equal(answer.status, 400, "the status")
    equal((answer.get("Connection") or "").lower(), "close", "the Connection field")
    check(b"Traceback" not in answer.body, "the answer shows a traceback")
    client.expect_end()


for _name, _data, _statuses in (
    ("line-too-long", b"GET /" + b"a" * 18_000 + b" HTTP/1.1" + _END, (414, 431, 400)),
    (
        "field-too-long",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 18_000 + b"\r\n\r\n",
        (431, 400),
    ),
    ("head-too-long", b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: b\r\n" * 3000 + b"\r\n", (431, 400)),
    ("no-end", b"X" * 100_000, (400, 414, 431)),
):

    def too_long(kit: Kit, data: bytes = _data, statuses: tuple[int, ...] = _statuses) -> None:
        found = [answer.status for answer in answers(kit, data)]
        if found and (len(found) > 1 or found[0] not in statuses):
            fail(f"the server answered {found}, expected one of {statuses}")

    add(
        GROUP,
        _name,
        "RFC 9110 15.5.15, RFC 6585 5",
        f"{_name.replace('-', ' ')}: refused",
        too_long,
    )


@case(GROUP, "RFC 9112 8", "a request that ends early is none")
def ends_early(kit: Kit) -> None:
    for data in (b"", b"GET", b"GET / HTTP/1.1\r\nHost: a", b"GET / HTTP/1.1\r\nHost: a\r\n"):
        client = kit.connect()
        client.send(data)
        client.finish()
        rest = client.read_to_end()
        check(rest == b"" or rest.startswith(b"HTTP/1.1 400 "), f"half a request got {rest[:60]!r}")


@case(GROUP, "RFC 9112 8", "a client that connects and vanishes leaves no trace")
def vanishes(kit: Kit) -> None:
    for data in (b"", b"GET / HTTP/1.1\r\n", b"GET /status/200/ HTTP/1.1\r\nHost: a\r\n\r\n"):
        client = kit.connect()
        client.send(data)
        client.reset()
    equal(kit.get("/status/200/").status, 200, "the status of the next client's answer")
