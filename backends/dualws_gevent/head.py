"""The head of an HTTP/1.x request: bytes in, a :class:`RequestHead` or a refusal out.

Law: *what two parsers could read in two ways is refused* (RFC 9112 sections 2.2, 3 and 5;
RFC 9110 section 5). A proxy in front may have read it the other way, and the difference
is what request smuggling lives on. So a bare CR or LF, a folded line, a space before the
colon, a body length given twice: 400, and the connection ends.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Literal

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rf"({_TOKEN}) ([\x21-\x7e\x80-\xff]+) HTTP/([0-9])\.([0-9])")
_is_token = re.compile(_TOKEN).fullmatch
_is_host = re.compile(r"[A-Za-z0-9._~!$&'()*+;=:%\[\]-]*").fullmatch
#: Controls that may stand nowhere in a head; CR and LF only as a pair, tab is white space.
_CONTROLS = bytes((*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F))
_find_bare_lf = re.compile(rb"(?<!\r)\n").search
_may_begin = re.compile(rb"(?:\r\n)*\r?[!#$%&'*+.^_`|~0-9A-Za-z-]?").match

#: More digits than any body has: int() of a hostile megabyte of digits is slow.
_MAX_LENGTH_DIGITS = 18
#: Longest name that is kept to be recognised.
_KEPT_NAME = 64


class BadRequest(Exception):
    """A request that gets an answer from the server itself; the connection ends with it.

    :param reason: what is wrong with it, for the log
    :param status: status line of the answer
    """

    def __init__(self, reason: str, status: str = "400 Bad Request") -> None:
        super().__init__(reason)
        self.status = status


@dataclass(slots=True)
class RequestHead:
    """A request without its body."""

    method: str
    #: request target as it was sent, decoded as latin-1
    target: str
    #: ``HTTP/1.0`` or ``HTTP/1.1``
    version: Literal["HTTP/1.0", "HTTP/1.1"]
    #: names and values in the order they came, decoded as latin-1
    headers: list[tuple[str, str]]
    #: value of Content-Length; None when there is none
    content_length: int | None
    #: the body comes in chunks
    chunked: bool
    #: whether the client lets the connection stay open
    keep_alive: bool
    #: the client waits for 100 Continue before it sends the body
    expects_continue: bool
    #: there is an Upgrade header
    upgrade: bool


def find_head(buffer: bytearray, limit: int) -> tuple[int, int] | None:
    """Where in *buffer* the head begins and where its body begins; None: more is needed.

    :param limit: largest request line, and largest head, in bytes
    :raises BadRequest: this will never be a head, or it is over the limit
    """
    start = 0
    # RFC 9112 section 2.2: empty lines before the request line are to be ignored.
    while buffer.startswith(b"\r\n", start):
        start += 2
        if start > limit:
            raise BadRequest("empty lines without end")
    end = buffer.find(b"\r\n\r\n", start)
    if 0 <= end <= start + limit:
        return start, end + 4
    line_end = buffer.find(b"\r\n", start, start + limit + 2)
    if line_end < 0 and len(buffer) - start > limit:
        raise BadRequest("the request line is over the limit", "414 URI Too Long")
    if end >= 0 or len(buffer) - start > limit:
        raise BadRequest("the head is over the limit", "431 Request Header Fields Too Large")
    # Waiting for an end that this client will never send would hold the connection.
    if _find_bare_lf(buffer, start):
        raise BadRequest("a line ends with LF alone")
    match = _may_begin(buffer)
    if match is None or match.end() == start < len(buffer):
        raise BadRequest("this is not HTTP")
    return None


def parse_head(data: bytes | bytearray, max_headers: int = 0) -> RequestHead:
    """Parse a whole head, from the request line to the empty line.

    :param max_headers: most header lines; 0 takes any number
    :raises BadRequest: it is not valid, may be read in two ways, or has too many headers
    """
    ends = data.count(b"\r\n")
    if data.count(b"\r") != ends or data.count(b"\n") != ends:
        raise BadRequest("a line does not end with CR LF")
    if len(data.translate(None, _CONTROLS)) != len(data):
        raise BadRequest("a control character")
    lines = data.decode("latin-1").split("\r\n")
    if len(lines) - 3 > max_headers > 0:
        raise BadRequest("too many headers", "431 Request Header Fields Too Large")
    match = _REQUEST_LINE.fullmatch(lines[0])
    if match is None:
        raise BadRequest("the first line is not METHOD TARGET HTTP/1.1")
    method, target, major, minor = match.groups()
    if major != "1":
        raise BadRequest(f"HTTP/{major}", "505 HTTP Version Not Supported")
    headers: list[tuple[str, str]] = []
    host = length = coding = connection = expect = None
    upgrade = False
    for line in lines[1:-2]:
        name, colon, value = line.partition(":")
        # An obsolete folded line begins with white space, so it fails here too.
        lower = lower_name(name) if colon else ""
        if not lower:
            raise BadRequest("a header line is not NAME: VALUE")
        value = value.strip(" \t")
        headers.append((name, value))
        if lower == "host":
            if host is not None or not _is_host(value):
                raise BadRequest("Host is given twice, or is not a host")
            host = value
        elif lower == "content-length":
            if length is not None:
                raise BadRequest("Content-Length is given twice")
            length = value
        elif lower == "transfer-encoding":
            coding = value if coding is None else f"{coding},{value}"
        elif lower == "connection":
            connection = value if connection is None else f"{connection},{value}"
        elif lower == "expect":
            expect = value
        elif lower == "upgrade":
            upgrade = True
    modern = minor != "0"
    if modern and host is None:
        raise BadRequest("an HTTP/1.1 request without Host")
    tokens = [token.strip() for token in (connection or "").lower().split(",")]
    return RequestHead(
        method=method,
        target=target,
        version="HTTP/1.1" if modern else "HTTP/1.0",
        headers=headers,
        content_length=_body_length(length),
        chunked=_is_chunked(coding, length, modern),
        keep_alive="close" not in tokens if modern else "keep-alive" in tokens,
        expects_continue=modern and expect is not None and expect.lower() == "100-continue",
        upgrade=upgrade,
    )


def lower_name(name: str) -> str:
    """A header's name in lower case; empty when it is none."""
    # Names are few, so they are kept; what a hostile client invents is not kept at length.
    return _kept_lower_name(name) if len(name) <= _KEPT_NAME else _lower_name(name)


def _lower_name(name: str) -> str:
    return name.lower() if _is_token(name) else ""


_kept_lower_name = functools.lru_cache(1024)(_lower_name)


def _body_length(value: str | None) -> int | None:
    if value is None:
        return None
    # isdecimal() alone would let other alphabets' digits pass, latin-1 has none but ASCII's.
    if not (value.isascii() and value.isdecimal()) or len(value) > _MAX_LENGTH_DIGITS:
        raise BadRequest("Content-Length is not a number")
    return int(value)


def _is_chunked(coding: str | None, length: str | None, modern: bool) -> bool:
    """RFC 9112 section 6.1, in the strict reading that it allows a server."""
    if coding is None:
        return False
    if length is not None:
        raise BadRequest("both Transfer-Encoding and Content-Length")
    if not modern:
        raise BadRequest("Transfer-Encoding in an HTTP/1.0 request")
    if coding.lower() != "chunked":
        raise BadRequest("a Transfer-Encoding other than chunked")
    return True
