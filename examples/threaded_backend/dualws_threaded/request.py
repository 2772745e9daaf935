"""Requests: a buffer over the socket, a strict head, a body that ends where it must.

Law: what two parsers could read in two ways is refused (RFC 9112 sections 2.2, 5 and 6), and a
refusal ends the connection. The application is called only with a body that is whole.
"""

from __future__ import annotations

import dataclasses
import re
import socket
import tempfile
from collections.abc import Iterator
from http import HTTPStatus
from typing import BinaryIO, cast

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rf"({_TOKEN}) ([\x21-\x7e\x80-\xff]+) HTTP/([0-9])\.([0-9])")
_FIELD = re.compile(rf"({_TOKEN}):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[^\x00-\x08\x0a-\x1f\x7f]*)?")
_HOST = re.compile(r"[A-Za-z0-9._~!$&'()*+;=:%\[\]-]*")
_PIECE = 64 * 1024
#: Most bytes of a chunk's line, and of all trailers.
_LINE, _TRAILERS = 4096, 64 * 1024


class BadRequest(Exception):
    """It gets an answer from the server itself, and the connection ends."""

    def __init__(self, reason: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(reason)
        self.status = status


@dataclasses.dataclass(slots=True)
class Request:
    """The head of a request; text is decoded as latin-1."""

    method: str
    target: str
    version: str
    fields: list[tuple[str, str]]
    length: int | None
    chunked: bool
    keep_alive: bool
    expects_continue: bool
    upgrade: bool


class Reader:
    """Reads one connection; what came too early waits in :attr:`buffer`."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.buffer = bytearray()

    def fill(self) -> bool:
        """Wait for more; False when the client will send no more."""
        data = self._sock.recv(_PIECE)
        self.buffer += data
        return bool(data)

    def line(self, limit: int, too_long: HTTPStatus = HTTPStatus.BAD_REQUEST) -> bytes | None:
        """A line without its CR LF; None when the client left before its end."""
        while (end := self.buffer.find(b"\n", 0, limit + 2)) < 0:
            if len(self.buffer) >= limit + 2:
                raise BadRequest("a line is too long", too_long)
            if not self.fill():
                return None
        line = bytes(self.buffer[: end + 1])
        del self.buffer[: end + 1]
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise BadRequest("a line does not end with CR LF alone")
        return line[:-2]

    def pieces(self, size: int) -> Iterator[bytes]:
        """*size* bytes.

        :raises ConnectionError: the client left within them
        """
        while size:
            if not self.buffer and not self.fill():
                raise ConnectionResetError("the client left within its request's body")
            piece = bytes(self.buffer[:size])
            del self.buffer[:size]
            size -= len(piece)
            yield piece


def read_head(reader: Reader, limit: int) -> Request | None:
    """The next request; None when the client has left.

    :param limit: bytes of the request line, and of the head
    :raises BadRequest: it is none
    """
    line = b""
    left = limit
    while not line:  # RFC 9112 section 2.2: empty lines before it are ignored
        found = reader.line(left, HTTPStatus.REQUEST_URI_TOO_LONG)
        if found is None:
            return None
        line, left = found, left - len(found) - 2
        if left < 0:
            raise BadRequest("empty lines without end")
    match = _REQUEST_LINE.fullmatch(line.decode("latin-1"))
    if match is None:
        raise BadRequest("the first line is no request line")
    method, target, major, minor = match.groups()
    if major != "1":
        raise BadRequest(f"HTTP/{major}", HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    fields: list[tuple[str, str]] = []
    while True:
        found = reader.line(max(left, 0), HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if found is None:
            return None
        if not found:
            break
        left -= len(found) + 2
        field = _FIELD.fullmatch(found.decode("latin-1"))
        if field is None:
            raise BadRequest("a field line is not NAME: VALUE")
        fields.append((field[1], field[2]))
    return _judge(method, target, minor != "0", fields)


def _judge(method: str, target: str, modern: bool, fields: list[tuple[str, str]]) -> Request:
    def values(name: str) -> list[str]:
        return [value for key, value in fields if key.lower() == name]

    hosts, lengths, codings = (
        values(name) for name in ("host", "content-length", "transfer-encoding")
    )
    if len(hosts) > 1 or (modern and not hosts) or not all(map(_HOST.fullmatch, hosts)):
        raise BadRequest("there must be one Host")
    if len(lengths) > 1 or not all(re.fullmatch("[0-9]{1,18}", value) for value in lengths):
        raise BadRequest("Content-Length is no number, or is given twice")
    if codings and (lengths or not modern or [v.lower() for v in codings] != ["chunked"]):
        raise BadRequest("a Transfer-Encoding that is not chunked alone")
    options = [option.strip() for option in ",".join(values("connection")).lower().split(",")]
    return Request(
        method=method,
        target=target,
        version="HTTP/1.1" if modern else "HTTP/1.0",
        fields=fields,
        length=int(lengths[0]) if lengths else None,
        chunked=bool(codings),
        keep_alive="close" not in options if modern else "keep-alive" in options,
        expects_continue=modern and "100-continue" in map(str.lower, values("expect")),
        upgrade=bool(values("upgrade")),
    )


def _chunks(reader: Reader) -> Iterator[bytes]:
    """The pieces of a chunked body (RFC 9112 section 7.1); trailers are dropped."""
    while True:
        match = _CHUNK.fullmatch(_line(reader, _LINE))
        if match is None:
            raise BadRequest("a chunk size is no number")
        size = int(match[1], 16)
        if not size:
            break
        yield from reader.pieces(size)
        if _line(reader, 0):
            raise BadRequest("a chunk is longer than its size")
    room = _TRAILERS
    while line := _line(reader, _LINE):
        room -= len(line)
        if room < 0 or _FIELD.fullmatch(line.decode("latin-1")) is None:
            raise BadRequest("the trailers are no fields, or too many")


def _line(reader: Reader, limit: int) -> bytes:
    line = reader.line(limit)
    if line is None:
        raise ConnectionResetError("the client left within its request's body")
    return line


def read_body(reader: Reader, request: Request, spool: int) -> tuple[BinaryIO, int | None]:
    """The body as a file, and its length; None when there is none.

    :param spool: bytes that are held in memory
    :raises BadRequest: its chunks are none
    :raises ConnectionError: the client left within it
    """
    body = tempfile.SpooledTemporaryFile(spool)  # noqa: SIM115  # closed with its request
    length = request.length
    try:
        for piece in _chunks(reader) if request.chunked else reader.pieces(length or 0):
            body.write(piece)
    except BaseException:
        body.close()
        raise
    if request.chunked:
        length = body.tell()
    body.seek(0)
    return cast(BinaryIO, body), length
