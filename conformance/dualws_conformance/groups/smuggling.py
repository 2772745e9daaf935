"""Request smuggling: what two parsers could read in two ways gets one answer or none.

Each case carries a second request inside. A server that took it for one would answer it.
"""

from __future__ import annotations

from functools import partial

from dualws_conformance.kit import Kit
from dualws_conformance.model import add, case, check, equal, fail
from dualws_conformance.wire import Ended, Response

GROUP = "smuggling"
MARK = b"GET /echo/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
#: Answers that refuse; a 408 is one that waited for more.
REFUSED = (400, 408, 411, 413, 414, 431, 501, 505)


def answers(kit: Kit, data: bytes) -> list[Response]:
    """Every response until the server closes."""
    client = kit.connect()
    client.send(data)
    found: list[Response] = []
    while client.pending or client.fill("an answer or the end"):
        if len(found) == 2:
            break
        try:
            found.append(client.response())
        except Ended:
            if client.pending:
                raise
            break
    return found


def rejected(kit: Kit, data: bytes) -> None:
    """*data* gets one refusal, or none, and the connection ends."""
    found = answers(kit, data)
    if len(found) > 1:
        statuses = [answer.status for answer in found]
        fail(f"the server took it for {len(found)} requests and answered {statuses}")
    for answer in found:
        check(answer.status in REFUSED, f"the server answered {answer.status} instead of refusing")
        check(b"smuggled" not in answer.body, "the smuggled request was answered")
    equal(kit.get("/status/200/").status, 200, "the status of the next client's answer")


def post(*lines: bytes, body: bytes = MARK) -> bytes:
    """A POST with these field lines."""
    return b"\r\n".join((b"POST /echo/ HTTP/1.1", b"Host: a", *lines, b"", b"")) + body


def _chunked(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", body=body + MARK)


_TE, _CL = "RFC 9112 6.1", "RFC 9112 6.2"
_LINE, _FIELD, _CHUNK = "RFC 9112 2.2", "RFC 9112 5", "RFC 9112 7.1"
_END = b"0\r\n\r\n"

CASES: dict[str, tuple[str, bytes]] = {
    "cl-te": (
        _TE,
        post(b"Content-Length: 6", b"Transfer-Encoding: chunked", body=_END + MARK),
    ),
    "te-cl": (
        _TE,
        post(
            b"Transfer-Encoding: chunked",
            b"Content-Length: 4",
            body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(MARK), MARK),
        ),
    ),
    "te-te": (
        _TE,
        post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: x", body=_END + MARK),
    ),
    "te-identity": (_TE, post(b"Transfer-Encoding: identity", b"Content-Length: 0")),
    "te-unknown": (_TE, post(b"Transfer-Encoding: xchunked", body=_END + MARK)),
    "te-chunked-not-last": (_TE, post(b"Transfer-Encoding: chunked, gzip", body=_END + MARK)),
    "te-chunked-twice": (_TE, post(b"Transfer-Encoding: chunked, chunked", body=_END + MARK)),
    "te-tab-inside": (_TE, post(b"Transfer-Encoding: chun\tked", body=_END + MARK)),
    "te-vertical-tab": (_TE, post(b"Transfer-Encoding: \x0bchunked", body=_END + MARK)),
    "te-quoted": (_TE, post(b'Transfer-Encoding: "chunked"', body=_END + MARK)),
    "te-empty": (_TE, post(b"Transfer-Encoding:", b"Content-Length: 0")),
    "te-in-1-0": (
        _TE,
        b"POST /echo/ HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + _END + MARK,
    ),
    "te-space-before-colon": (
        "RFC 9112 5.1",
        post(b"Transfer-Encoding : chunked", b"Content-Length: 5", body=_END + MARK),
    ),
    "cl-space-before-colon": ("RFC 9112 5.1", post(b"Content-Length : 0")),
    "cl-tab-before-colon": ("RFC 9112 5.1", post(b"Content-Length\t: 0")),
    "cl-differing": ("RFC 9110 8.6", post(b"Content-Length: 0", b"Content-Length: 40")),
    "cl-differing-list": ("RFC 9110 8.6", post(b"Content-Length: 0, 40")),
    "cl-plus": (_CL, post(b"Content-Length: +0")),
    "cl-minus": (_CL, post(b"Content-Length: -1")),
    "cl-hexadecimal": (_CL, post(b"Content-Length: 0x0")),
    "cl-underscore": (_CL, post(b"Content-Length: 0_0")),
    "cl-empty": (_CL, post(b"Content-Length:")),
    "cl-blank-inside": (_CL, post(b"Content-Length: 0 0")),
    "cl-fraction": (_CL, post(b"Content-Length: 0.0")),
    "cl-superscript": (_CL, post("Content-Length: ²".encode("latin-1"))),
    "cl-huge": (_CL, post(b"Content-Length: " + b"9" * 5000)),
    "cl-nul": (_FIELD, post(b"Content-Length: 0\x00")),
    "nul-in-name": (_FIELD, post(b"Content-Length\x00: 0")),
    "obs-fold": ("RFC 9112 5.2", post(b"X-A: b", b" Content-Length: 5")),
    "obs-fold-tab": ("RFC 9112 5.2", post(b"Transfer-Encoding:", b"\tchunked", body=_END + MARK)),
    "first-field-folded": (
        "RFC 9112 2.2",
        b"POST /echo/ HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n" + MARK,
    ),
    "bare-lf-request-line": (
        _LINE,
        b"POST /echo/ HTTP/1.1\nHost: a\r\nContent-Length: 0\r\n\r\n" + MARK,
    ),
    "bare-lf-field": (
        _LINE,
        b"POST /echo/ HTTP/1.1\r\nHost: a\nContent-Length: 0\r\n\r\n" + MARK,
    ),
    "bare-lf-end": (_LINE, b"POST /echo/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\n" + MARK),
    "only-lf": (_LINE, b"POST /echo/ HTTP/1.1\nHost: a\nContent-Length: 0\n\n" + MARK),
    "bare-cr": (_LINE, post(b"X-A: b\rContent-Length: 0")),
    "chunk-size-empty": (_CHUNK, _chunked(b"\r\n\r\n" + _END)),
    "chunk-size-letters": (_CHUNK, _chunked(b"xyz\r\n" + _END)),
    "chunk-size-minus": (_CHUNK, _chunked(b"-1\r\n" + _END)),
    "chunk-size-plus": (_CHUNK, _chunked(b"+0\r\n\r\n")),
    "chunk-size-0x": (_CHUNK, _chunked(b"0x0\r\n\r\n")),
    "chunk-size-underscore": (_CHUNK, _chunked(b"0_0\r\n\r\n")),
    "chunk-size-leading-blank": (_CHUNK, _chunked(b" 0\r\n\r\n")),
    "chunk-size-trailing-blank": (_CHUNK, _chunked(b"1 \r\na\r\n0 \r\n\r\n")),
    "chunk-size-huge": (_CHUNK, _chunked(b"f" * 40 + b"\r\n" + _END)),
    "chunk-size-overflow": (_CHUNK, _chunked(b"10000000000000000\r\n" + _END)),
    "chunk-line-lf": (_CHUNK, _chunked(b"0\n\r\n")),
    "chunk-extension-lf": ("RFC 9112 7.1.1", _chunked(b"0;a\nb\r\n\r\n")),
    "chunk-extension-cr": ("RFC 9112 7.1.1", _chunked(b"0;a\rb\r\n\r\n")),
    "chunk-without-crlf": (_CHUNK, _chunked(b"3\r\nabcde\r\n" + _END)),
    "chunk-ends-lf": (_CHUNK, _chunked(b"3\r\nabc\n" + _END)),
    "chunk-line-endless": ("RFC 9112 7.1.1", _chunked(b"0;" + b"a" * 200_000 + b"\r\n\r\n")),
    "trailer-endless": ("RFC 9112 7.1.2", _chunked(b"0\r\n" + b"X-A: b\r\n" * 30_000 + b"\r\n")),
    "trailer-lf": ("RFC 9112 7.1.2", _chunked(b"0\r\nX: y\n\r\n")),
}

for _name, (_section, _data) in CASES.items():
    add(
        GROUP,
        _name,
        _section,
        f"one refusal or a closed connection for {_name.replace('-', ' ')}, never two requests",
        partial(rejected, data=_data),
    )


@case(GROUP, "RFC 9110 8.6", "equal lengths given twice have one meaning, or are refused")
def cl_equal(kit: Kit) -> None:
    for lines in ((b"Content-Length: 4", b"Content-Length: 4"), (b"Content-Length: 4, 4",)):
        client = kit.connect()
        client.send(post(*lines, body=b"body"))
        answer = client.response()
        if answer.status == 400:
            client.expect_end()
        else:
            equal(answer.status, 200, "the status")
            check(b'"length": 4,' in answer.body, "the body was not the four bytes announced")


@case(GROUP, "RFC 9110 9.3.1", "a GET with a body: the body is not the next request")
def get_with_body(kit: Kit) -> None:
    client = kit.connect()
    length = b"Content-Length: %d\r\n" % len(MARK)
    client.send(b"GET /status/200/ HTTP/1.1\r\nHost: a\r\n" + length + b"\r\n" + MARK)
    equal(client.response().status, 200, "the status")
    client.request("GET", "/status/201/", ("Host", kit.host))
    equal(client.response().status, 201, "the status of the next answer")


@case(GROUP, "RFC 9110 7.8", "an upgrade request with a body does not become a websocket")
def upgrade_with_body(kit: Kit) -> None:
    client, head = kit.upgrade("/blocking/echo/", ("Content-Length", str(len(MARK))), early=MARK)
    check(head.status != 101, "a request with a body was answered with 101")
    body, _ = client.read_body(head)
    check(b"smuggled" not in body, "the body was taken for a request")
