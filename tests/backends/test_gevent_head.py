"""The request head's parser: what it takes, what it refuses, and when it stops waiting."""

from __future__ import annotations

import pytest

from dualws.contract import ServerConfig
from dualws_gevent.body import Reader, chunks
from dualws_gevent.head import BadRequest, find_head, parse_head

LIMIT = 1000


class Pieces:
    """A socket that receives what it was given, piece by piece."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    def recv(self, size: int) -> bytes:
        if not self.pieces:
            return b""
        piece, rest = self.pieces[0][:size], self.pieces[0][size:]
        self.pieces[:1] = [rest] if rest else []
        return piece

    def settimeout(self, value: float | None) -> None:
        """It never waits."""


def request(*lines: bytes, first: bytes = b"GET / HTTP/1.1") -> bytes:
    return b"\r\n".join((first, *lines, b"", b""))


def test_a_request() -> None:
    head = parse_head(request(b"Host: example.com", b"X-A:  b c \t", b"x-a:", b"X-B: \xe9"))
    assert (head.method, head.target, head.version) == ("GET", "/", "HTTP/1.1")
    assert head.headers == [("Host", "example.com"), ("X-A", "b c"), ("x-a", ""), ("X-B", "é")]
    assert (head.content_length, head.chunked, head.upgrade) == (None, False, False)
    assert head.keep_alive


@pytest.mark.parametrize(
    ("first", "lines", "keep_alive"),
    [
        (b"GET / HTTP/1.1", [b"Connection: close"], False),
        (b"GET / HTTP/1.1", [b"Connection: Upgrade, CLOSE"], False),
        (b"GET / HTTP/1.1", [b"Connection: a", b"Connection: close"], False),
        (b"GET / HTTP/1.1", [b"Connection: closed"], True),
        (b"GET / HTTP/1.0", [], False),
        (b"GET / HTTP/1.0", [b"Connection: Keep-Alive"], True),
        (b"GET / HTTP/1.2", [], True),
    ],
)
def test_keep_alive(first: bytes, lines: list[bytes], keep_alive: bool) -> None:
    assert parse_head(request(b"Host: a", *lines, first=first)).keep_alive is keep_alive


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [b"Host: a", b"Host: a"],
        [b"Host: a b"],
        [b"Host: a,b"],
        [b"Host: a/b"],
        [b"Host: a", b"X-A : b"],
        [b"Host: a", b" folded"],
        [b"Host: a", b"\tfolded"],
        [b"Host: a", b": empty"],
        [b"Host: a", b"no colon"],
        [b"Host: a", b"X-A: b\0"],
        [b"Host: a", b"X-A: b\nX-B: c"],
        [b"Host: a", b"X-A: b\rX-B: c"],
        [b"Host: a", b"X\xe9: b"],
        [b"Host: a", b"Content-Length: 1", b"Content-Length: 1"],
        [b"Host: a", b"Content-Length: 1, 1"],
        [b"Host: a", b"Content-Length: +1"],
        [b"Host: a", b"Content-Length: -1"],
        [b"Host: a", b"Content-Length: 0x1"],
        [b"Host: a", b"Content-Length: 1_0"],
        [b"Host: a", b"Content-Length: \xb2"],
        [b"Host: a", b"Content-Length:"],
        [b"Host: a", b"Content-Length: " + b"9" * 19],
        [b"Host: a", b"Content-Length: 1", b"Transfer-Encoding: chunked"],
        [b"Host: a", b"Transfer-Encoding: gzip, chunked"],
        [b"Host: a", b"Transfer-Encoding: chunked, chunked"],
        [b"Host: a", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
        [b"Host: a", b"Transfer-Encoding: xchunked"],
        [b"Host: a", b"Transfer-Encoding: \x0bchunked"],
        [b"Host: a", b"Transfer-Encoding:"],
    ],
)
def test_refused_headers(lines: list[bytes]) -> None:
    with pytest.raises(BadRequest):
        parse_head(request(*lines))


@pytest.mark.parametrize(
    ("first", "status"),
    [
        (b"GET /", 400),
        (b"GET  / HTTP/1.1", 400),
        (b"GET / HTTP/1.1 ", 400),
        (b" GET / HTTP/1.1", 400),
        (b"GET\t/\tHTTP/1.1", 400),
        (b"GET / a HTTP/1.1", 400),
        (b"G\xe9T / HTTP/1.1", 400),
        (b"GET / http/1.1", 400),
        (b"GET / HTTP/11", 400),
        (b"GET / HTTP/2.0", 505),
        (b"GET / HTTP/0.9", 505),
    ],
)
def test_refused_request_lines(first: bytes, status: int) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_head(request(b"Host: a", first=first))
    assert caught.value.status.startswith(str(status))


def test_transfer_encoding_in_http_1_0_is_refused() -> None:
    with pytest.raises(BadRequest):
        parse_head(request(b"Transfer-Encoding: chunked", first=b"POST / HTTP/1.0"))


def test_a_head_is_found_wherever_it_is_cut() -> None:
    data = b"\r\n\r\n" + request(b"Host: a")
    for cut in range(len(data)):
        assert find_head(bytearray(data[:cut]), LIMIT) is None
    assert find_head(bytearray(data + b"body"), LIMIT) == (4, len(data))


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"\x16\x03\x01\x02\x00", 400),
        (b"\r\n" * LIMIT, 400),
        (b"GET /" + b"a" * LIMIT, 414),
        (b"GET /" + b"a" * LIMIT + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: " + b"a" * LIMIT, 431),
        (b"GET / HTTP/1.1\r\nHost: " + b"a" * LIMIT + b"\r\n\r\n", 431),
    ],
)
def test_what_will_never_be_a_head_is_not_waited_for(data: bytes, status: int) -> None:
    with pytest.raises(BadRequest) as caught:
        find_head(bytearray(data), LIMIT)
    assert caught.value.status.startswith(str(status))


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b"00a;name=value\r\n0123456789\r\n1 ; x\r\nA\r\n0\r\nX-A: b\r\n\r\n", b"0123456789A"),
    ],
)
def test_chunks(data: bytes, body: bytes) -> None:
    for size in (1, 2, len(data)):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        reader = Reader(Pieces(*pieces, b"next"), ServerConfig())
        assert b"".join(chunks(reader)) == body
        assert reader.some(4) == b"next"


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n",
        b"x\r\n",
        b"-1\r\n",
        b"+1\r\na\r\n",
        b"0x1\r\na\r\n",
        b"1_0\r\n",
        b" 1\r\na\r\n",
        b"1 \r\na\r\n0\r\n\r\n",
        b"1" * 17 + b"\r\n",
        b"1\na\r\n0\r\n\r\n",
        b"1\r\nab\r\n0\r\n\r\n",
        b"1\r\na\n0\r\n\r\n",
        b"1;" + b"x" * 5000 + b"\r\na\r\n",
        b"1;a\0\r\na\r\n",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\nX-A : b\r\n\r\n",
        b"0\r\n" + b"X-A: b\r\n" * 20_000 + b"\r\n",
    ],
)
def test_refused_chunks(data: bytes) -> None:
    with pytest.raises(BadRequest):
        list(chunks(Reader(Pieces(data), ServerConfig())))


@pytest.mark.parametrize("data", [b"", b"5", b"5\r\nab", b"2\r\nab", b"0\r\n", b"0\r\nX: y\r\n"])
def test_a_client_that_leaves_within_a_chunked_body(data: bytes) -> None:
    with pytest.raises(ConnectionError):
        list(chunks(Reader(Pieces(data), ServerConfig())))
