"""Feeds any bytes to what the servers do with HTTP themselves.

Law: a head is refused or read, in whatever pieces it comes, and never in another way than h11
reads it; a body ends where it says; an environ has plain strings only; a proxy's preamble and its
headers are believed or refused.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any, cast

import atheris
import h11

with atheris.instrument_imports(include=["dualws.serving", "dualws_gevent"]):
    from dualws.config import ServerConfig
    from dualws.serving.environ import make_environ
    from dualws.serving.forwarded import parse_element, parse_node
    from dualws.serving.proxy_protocol import BadPreamble
    from dualws.serving.proxy_protocol import parse as parse_preamble
    from dualws_gevent.body import Reader, receive_body
    from dualws_gevent.head import BadRequest, RequestHead, parse_head

from fuzz.driver import cut, run

LIMIT = 2000
_HEAD = 2
_CONFIG = ServerConfig(max_header_size=LIMIT, header_timeout=0, body_timeout=0, body_min_rate=0)


class Pieces:
    """A socket that receives what it was given, piece by piece."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]

    def recv(self, size: int, /) -> bytes:
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        if len(piece) > size:
            self._pieces.insert(0, piece[size:])
        return piece[:size]

    def settimeout(self, value: float | None, /) -> None:
        """It never waits."""


def check(data: bytes) -> None:
    """One input."""
    check_proxy(data)
    if len(data) < _HEAD:
        return
    body = data[_HEAD:]
    found = serve([body])
    for pieces in (cut(body, *data[:_HEAD]), [body[i : i + 1] for i in range(len(body))]):
        if serve(pieces) != found:
            raise AssertionError(f"{found} in one piece, {serve(pieces)} in several")
    compare(body, found)


def serve(pieces: list[bytes]) -> list[Any]:
    """What a connection gives: heads with their bodies, and how it ended."""
    reader = Reader(Pieces(pieces), _CONFIG)
    found: list[Any] = []
    try:
        while (data := reader.head(LIMIT)) is not None:
            head = parse_head(data, 20)
            body, length = receive_body(reader, head, 64, 500)
            content = body.read()
            if length is not None and length != len(content):
                raise AssertionError(f"{len(content)} bytes, said to be {length}")
            body.close()
            check_environ(head, content, length)
            found.append((head.method, head.target, tuple(head.headers), content))
            if not head.keep_alive:
                break
    except BadRequest as error:
        # Which of several faults is seen first may depend on the pieces.
        found.append(("refused", error.status[0]))
    except ConnectionError:
        found.append("left")
    return found


def check_environ(head: RequestHead, content: bytes, length: int | None) -> None:
    """The environ of a request, or its refusal."""
    with contextlib.suppress(ValueError):
        environ = make_environ(
            method=head.method,
            target=head.target,
            version=head.version,
            headers=head.headers,
            server=cast(Any, None),
            local=("127.0.0.1", 80),
            peer=("::1", 1),
            scheme="http",
            input=io.BytesIO(content),
            content_length=length,
            multithread=False,
        )
        for key, value in environ.items():
            if "." not in key and (type(value) is not str or "-" in key or "\n" in value):
                raise AssertionError(f"{key} is {value!r}")


def compare(data: bytes, found: list[Any]) -> None:
    """The first request is h11's too, where that one takes it."""
    if not found or not isinstance(found[0], tuple) or found[0][0] == "refused":
        return
    method, target, _, content = found[0]
    other = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    other.receive_data(data)
    body = b""
    try:
        while not isinstance(event := other.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Request):
                if (event.method.decode(), event.target.decode("latin-1")) != (method, target):
                    raise AssertionError(f"{method} {target} is {event} to another server")
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                break
        else:
            if body != content:
                raise AssertionError(f"the body {content!r} is {body!r} to another server")
    except h11.RemoteProtocolError:
        pass


def check_proxy(data: bytes) -> None:
    """The same bytes as a proxy's words."""
    with contextlib.suppress(BadPreamble):
        preamble = parse_preamble(data)
        if preamble is not None and not 0 < preamble.size <= len(data):
            raise AssertionError(f"a preamble of {preamble.size} in {len(data)} bytes")
    text = data.decode("latin-1")
    parse_node(text)
    with contextlib.suppress(ValueError):
        parse_element(text)


def seeds() -> Iterator[bytes]:
    """Inputs to begin with."""
    for request in (
        b"GET /a%20b?c=d HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\ncookie: c\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" * 2,
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n"
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET http://b/ HTTP/1.0\r\nConnection: keep-alive\r\nX_A: 1\r\nUpgrade: websocket\r\n\r\n",
        b"\r\nOPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\nExpect: 100-continue\r\n\r\n",
    ):
        yield b"\x09\x20" + request
    yield b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"
    yield b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x00\x01\x00\x02"
    yield b'for="[2001:db8::1]:80";proto=https;host="a\\"b"'


if __name__ == "__main__":
    run(check, seeds())
