"""Requests that are none: a clear answer and the end of the connection.

The smuggling cases each carry a second request inside; a server that took it for one would
answer it, and :func:`rejected` would see its marker.
"""

from __future__ import annotations

import pytest

from support.raw import RawClient, Response
from support.server import LiveServer

MARK = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


def answers(server: LiveServer, data: bytes) -> tuple[list[Response], RawClient]:
    """Every response until the server closes, as it must; a second one is one too many."""
    client = server.connect()
    found: list[Response] = []
    try:
        client.send(data)
        while len(found) < 2 and (client.pending or client.fill()):
            found.append(client.read_response())
    except (ConnectionResetError, BrokenPipeError, EOFError):
        assert client.pending == b""
    return found, client


def rejected(server: LiveServer, data: bytes, *statuses: int) -> None:
    """*data* gets one answer with one of *statuses*, or none, and the connection ends."""
    found, client = answers(server, data)
    client.close()
    assert len(found) <= 1, found
    for answer in found:
        assert answer.status in statuses, answer
        assert b"smuggled" not in answer.body
        assert b"Traceback" not in answer.body
    assert server.get("/echo").status == 200


@pytest.mark.parametrize(
    "data",
    [
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1 more\r\nHost: a\r\n\r\n",
        b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"G\x00T / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nno colon here\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n: no name\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-A: a\x01b\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\rc\r\n\r\n",
        b"GET foo HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    ids=repr,
)
def test_what_is_no_request_gets_a_400(plain: LiveServer, data: bytes) -> None:
    found, client = answers(plain, data)
    client.close()
    assert [answer.status for answer in found] in ([400], []), found
    assert plain.get("/echo").status == 200


def test_the_answer_to_garbage_is_a_400(plain: LiveServer) -> None:
    """Where the client is there to read it, it is told."""
    found, client = answers(plain, b"garbage\r\n\r\n")
    client.close()
    (answer,) = found
    assert answer.status == 400
    assert answer.get("Connection") == "close"


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/3.0", "HTTP/1.2", "HTTP/1", "HTTQ/1.1"])
def test_other_versions(plain: LiveServer, version: str) -> None:
    """RFC 9112 section 2.3: HTTP/1.2 may be served as 1.1; another major version may not."""
    found, client = answers(
        plain, f"GET /echo {version}\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
    )
    client.close()
    statuses = [answer.status for answer in found]
    allowed = [[], [400], [505]]
    assert statuses in ([*allowed, [200]] if version == "HTTP/1.2" else allowed), found


@pytest.mark.parametrize(
    ("data", "statuses"),
    [
        (b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", (414, 431, 400)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 200_000 + b"\r\n\r\n", (431, 400)),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X-A: b\r\n" * 30_000 + b"\r\n", (431, 400)),
        (b"X" * 200_000, (400, 414, 431)),
    ],
    ids=["line", "header", "headers", "no end"],
)
def test_too_large_heads(plain: LiveServer, data: bytes, statuses: tuple[int, ...]) -> None:
    rejected(plain, data, *statuses)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /" + b"a" * 66_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 66_000 + b"\r\n\r\n", 431),
    ],
    ids=["line", "header"],
)
def test_a_head_over_the_limit_is_told_which(plain: LiveServer, head: bytes, status: int) -> None:
    """With little sent past the limit, the answer is not lost to a reset."""
    found, client = answers(plain, head)
    client.close()
    assert [answer.status for answer in found] == [status]


def _post(*lines: bytes, body: bytes) -> bytes:
    return b"\r\n".join((b"POST /echo HTTP/1.1", b"Host: a", *lines, b"", b"")) + body


SMUGGLING = {
    "CL+TE": _post(
        b"Content-Length: 6",
        b"Transfer-Encoding: chunked",
        body=b"0\r\n\r\n" + MARK,
    ),
    "TE+CL": _post(
        b"Transfer-Encoding: chunked",
        b"Content-Length: 4",
        body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(MARK), MARK),
    ),
    "TE twice": _post(
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=b"0\r\n\r\n" + MARK
    ),
    "TE identity": _post(b"Transfer-Encoding: identity", b"Content-Length: 0", body=MARK),
    "TE unknown": _post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n" + MARK),
    "TE chunked not last": _post(b"Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n" + MARK),
    "TE chunked twice": _post(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n" + MARK),
    "TE with a tab inside": _post(b"Transfer-Encoding: chun\tked", body=b"0\r\n\r\n" + MARK),
    "TE with a vertical tab": _post(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n" + MARK),
    "TE space before colon": _post(
        b"Transfer-Encoding : chunked", b"Content-Length: 5", body=b"0\r\n\r\n" + MARK
    ),
    "CL space before colon": _post(b"Content-Length : 0", body=MARK),
    "CL tab before colon": _post(b"Content-Length\t: 0", body=MARK),
    "CL differing": _post(b"Content-Length: 0", b"Content-Length: 40", body=MARK),
    "CL differing list": _post(b"Content-Length: 0, 40", body=MARK),
    "CL plus": _post(b"Content-Length: +0", body=MARK),
    "CL minus": _post(b"Content-Length: -1", body=MARK),
    "CL hexadecimal": _post(b"Content-Length: 0x0", body=MARK),
    "CL underscore": _post(b"Content-Length: 0_0", body=MARK),
    "CL empty": _post(b"Content-Length:", body=MARK),
    "CL blank inside": _post(b"Content-Length: 0 0", body=MARK),
    "CL other digits": _post("Content-Length: ²".encode("latin-1"), body=MARK),
    "CL huge": _post(b"Content-Length: " + b"9" * 5000, body=MARK),
    "CL nul": _post(b"Content-Length: 0\x00", body=MARK),
    "obs-fold": _post(b"X-A: b", b" Content-Length: 5", body=MARK),
    "obs-fold tab": _post(b"Transfer-Encoding:", b"\tchunked", body=b"0\r\n\r\n" + MARK),
    "first header folded": b"POST /echo HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n" + MARK,
    "bare LF after line": b"POST /echo HTTP/1.1\nHost: a\r\nContent-Length: 0\r\n\r\n" + MARK,
    "bare LF after header": b"POST /echo HTTP/1.1\r\nHost: a\nContent-Length: 0\r\n\r\n" + MARK,
    "bare LF ends head": b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\n" + MARK,
    "bare LF hides a header": _post(
        b"X-A: b\nTransfer-Encoding: chunked", body=b"0\r\n\r\n" + MARK
    ),
    "only LF": b"POST /echo HTTP/1.1\nHost: a\nContent-Length: 0\n\n" + MARK,
    "bare CR in header": _post(b"X-A: b\rContent-Length: 0", body=MARK),
    "nul in name": _post(b"Content-Length\x00: 0", body=MARK),
    "chunk size empty": _post(b"Transfer-Encoding: chunked", body=b"\r\n\r\n0\r\n\r\n" + MARK),
    "chunk size letters": _post(b"Transfer-Encoding: chunked", body=b"xyz\r\n0\r\n\r\n" + MARK),
    "chunk size minus": _post(b"Transfer-Encoding: chunked", body=b"-1\r\n0\r\n\r\n" + MARK),
    "chunk size plus": _post(b"Transfer-Encoding: chunked", body=b"+0\r\n\r\n" + MARK),
    "chunk size 0x": _post(b"Transfer-Encoding: chunked", body=b"0x0\r\n\r\n" + MARK),
    "chunk size underscore": _post(b"Transfer-Encoding: chunked", body=b"0_0\r\n\r\n" + MARK),
    "chunk size leading space": _post(b"Transfer-Encoding: chunked", body=b" 0\r\n\r\n" + MARK),
    "chunk size trailing space": _post(
        b"Transfer-Encoding: chunked", body=b"1 \r\na\r\n0 \r\n\r\n" + MARK
    ),
    "chunk size huge": _post(
        b"Transfer-Encoding: chunked", body=b"f" * 40 + b"\r\n0\r\n\r\n" + MARK
    ),
    "chunk line with LF": _post(b"Transfer-Encoding: chunked", body=b"0\n\r\n" + MARK),
    "chunk extension with LF": _post(b"Transfer-Encoding: chunked", body=b"0;a\nb\r\n\r\n" + MARK),
    "chunk extension with CR": _post(b"Transfer-Encoding: chunked", body=b"0;a\rb\r\n\r\n" + MARK),
    "chunk without its CRLF": _post(
        b"Transfer-Encoding: chunked", body=b"3\r\nabcde\r\n0\r\n\r\n" + MARK
    ),
    "chunk ends with LF": _post(b"Transfer-Encoding: chunked", body=b"3\r\nabc\n0\r\n\r\n" + MARK),
    "endless chunk line": _post(
        b"Transfer-Encoding: chunked", body=b"0;" + b"a" * 200_000 + b"\r\n\r\n" + MARK
    ),
    "endless trailer": _post(
        b"Transfer-Encoding: chunked", body=b"0\r\n" + b"X-A: b\r\n" * 30_000 + b"\r\n" + MARK
    ),
    "trailer with LF": _post(b"Transfer-Encoding: chunked", body=b"0\r\nX: y\n\r\n" + MARK),
    "HTTP/1.0 with TE": (
        b"POST /echo HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + MARK
    ),
}


@pytest.mark.parametrize("name", SMUGGLING)
def test_nothing_is_smuggled(plain: LiveServer, name: str) -> None:
    rejected(plain, SMUGGLING[name], 400, 411, 413, 431, 501)


def test_equal_lengths_given_twice(plain: LiveServer) -> None:
    """RFC 9110 section 8.6 leaves the choice: one value, or a refusal; never two meanings."""
    for lines in ((b"Content-Length: 4", b"Content-Length: 4"), (b"Content-Length: 4, 4",)):
        with plain.connect() as client:
            client.send(_post(*lines, body=b"body"))
            answer = client.read_response()
            if answer.status == 400:
                client.assert_closed()
            else:
                assert answer.status == 200
                assert b'"body": [4, ' in answer.body


def test_empty_lines_before_a_request(plain: LiveServer) -> None:
    """RFC 9112 section 2.2: at least one CRLF before the request line should be ignored."""
    with plain.connect() as client:
        for _ in range(2):
            client.send(b"\r\nGET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.read_response().status == 200


def test_a_request_that_ends_early(plain: LiveServer) -> None:
    for data in (b"", b"GET", b"GET / HTTP/1.1\r\nHost: a", b"GET / HTTP/1.1\r\nHost: a\r\n"):
        with plain.connect() as client:
            client.send(data)
            client.finish_sending()
            rest = client.read_to_end()
            assert rest == b"" or rest.startswith(b"HTTP/1.1 400 ")
    assert plain.get("/echo").status == 200


def test_the_error_answer_has_a_body_and_an_end(plain: LiveServer) -> None:
    with plain.connect() as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        answer = client.read_response()
        assert answer.status == 400
        assert answer.get("Connection") == "close"
        client.assert_closed()


def test_a_peer_that_sends_its_head_slowly_harms_nobody(plain: LiveServer) -> None:
    slow = [plain.connect() for _ in range(50)]
    try:
        for client in slow:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-")
        assert plain.get("/echo").status == 200
        for client in slow:
            client.send(b"Slow: 1\r\n\r\n")
        for client in slow:
            assert client.read_response().status == 200
    finally:
        for client in slow:
            client.close()
