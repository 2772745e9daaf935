"""Request bodies: a buffer over the socket, and the two ways in which a body ends.

Law: *the application is called with a body that is there*. Until then nothing of the
project is involved, so a client that sends one byte a second, or leaves in the midst of
its upload, holds a greenlet and nothing else, and no view fails because of it. A body past
``spool_size`` waits on disk.
"""

from __future__ import annotations

import io
import math
import re
import tempfile
import time
from collections.abc import Iterator
from typing import BinaryIO, Protocol, cast

from dualws.contract import ServerConfig
from dualws.limits.deadline import Deadline
from dualws.serving import spool
from dualws_gevent.head import BadRequest, RequestHead, find_head

#: Most that one recv takes, and the size of the pieces that are copied to a file.
_PIECE = 64 * 1024
#: Chunk extensions and trailers are dropped; this is the most of them.
_MAX_CHUNK_LINE = 4096
_MAX_TRAILERS = 64 * 1024
#: Seconds that a receive may take when the time is over: none would not look at all.
_LEAST = 0.001
_chunk_size = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[^\x00-\x08\x0a-\x1f\x7f]*)?").fullmatch
_trailer = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\x00-\x08\x0a-\x1f\x7f]*").fullmatch


class Receiver(Protocol):
    """The socket as a reader sees it: blocks its greenlet only."""

    def recv(self, size: int, /) -> bytes: ...

    def settimeout(self, value: float | None, /) -> None: ...


class Reader:
    """Reads one connection; keeps what came too early for the next that asks.

    :param sock: the connection
    :param config: its limits
    """

    __slots__ = ("_body", "_config", "_sock", "buffer")

    def __init__(self, sock: Receiver, config: ServerConfig) -> None:
        self._sock = sock
        self._config = config
        self._body: Deadline | None = None
        self.buffer = bytearray()

    def _recv(self, size: int) -> bytes:
        """Wait for a part of a body.

        :raises BadRequest: it comes too slowly
        """
        body = self._body
        if body is None:
            config = self._config
            now = time.monotonic()
            body = self._body = Deadline(config.body_timeout, config.body_min_rate, now)
        if body.at == math.inf:
            self._sock.settimeout(None)
            return self._sock.recv(size)
        self._sock.settimeout(max(body.at - time.monotonic(), _LEAST))
        try:
            data = self._sock.recv(size)
        except TimeoutError:
            raise BadRequest("its body comes too slowly", "408 Request Timeout") from None
        body.received(len(data), time.monotonic())
        return data

    def fill(self) -> bool:
        """Wait for more of a body; False when the client will send no more.

        :raises BadRequest: it comes too slowly
        """
        data = self._recv(_PIECE)
        self.buffer += data
        return bool(data)

    def head(self, limit: int) -> bytes | None:
        """The next request's head; None when the client left, or was idle for too long, before it.

        :param limit: largest request line, and largest head, in bytes
        :raises BadRequest: it will never be a head, is over the limit, or comes too slowly
        """
        self._body = None
        sock = self._sock
        idle, patience = self._config.http_idle_timeout, self._config.header_timeout
        until = math.inf
        while True:
            if self.buffer:
                found = find_head(self.buffer, limit)
                if found:
                    data = bytes(self.buffer[found[0] : found[1]])
                    del self.buffer[: found[1]]
                    return data
                if patience and until == math.inf:
                    until = time.monotonic() + patience
            if until < math.inf:
                sock.settimeout(max(until - time.monotonic(), _LEAST))
            else:
                sock.settimeout(None if self.buffer else idle or None)
            try:
                data = sock.recv(_PIECE)
            except TimeoutError:
                if not self.buffer:
                    return None
                raise BadRequest("its head comes too slowly", "408 Request Timeout") from None
            if not data:
                return None
            self.buffer += data

    def some(self, size: int) -> bytes:
        """Between one and *size* bytes; empty when the client will send no more.

        :raises BadRequest: they come too slowly
        """
        if not self.buffer:
            return self._recv(min(size, _PIECE))
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    def line(self, limit: int) -> bytes:
        """A line without its CR LF.

        :raises BadRequest: it is over *limit* bytes, or ends with LF alone
        :raises ConnectionError: the client left within it
        """
        while True:
            end = self.buffer.find(b"\n", 0, limit + 2)
            if end >= 0:
                break
            if len(self.buffer) >= limit + 2:
                raise BadRequest("a line of a chunked body is over the limit")
            if not self.fill():
                raise _gone()
        line = bytes(self.buffer[: end + 1])
        del self.buffer[: end + 1]
        if not line.endswith(b"\r\n"):
            raise BadRequest("a line of a chunked body ends with LF alone")
        return line[:-2]


def _gone() -> ConnectionResetError:
    return ConnectionResetError("the client left before it had sent the whole request body")


def pieces(reader: Reader, length: int) -> Iterator[bytes]:
    """The pieces of a body of *length* bytes.

    :raises ConnectionError: the client left within it
    """
    while length:
        data = reader.some(length)
        if not data:
            raise _gone()
        length -= len(data)
        yield data


def chunks(reader: Reader) -> Iterator[bytes]:
    """The pieces of a chunked body (RFC 9112 section 7.1), trailers dropped.

    :raises BadRequest: it is not valid
    :raises ConnectionError: the client left within it
    """
    while True:
        match = _chunk_size(reader.line(_MAX_CHUNK_LINE))
        if match is None:
            raise BadRequest("a chunk size is not a hexadecimal number")
        size = int(match[1], 16)
        if not size:
            break
        yield from pieces(reader, size)
        if reader.line(0):
            raise BadRequest("a chunk is longer than its size")
    room = _MAX_TRAILERS
    while line := reader.line(_MAX_CHUNK_LINE):
        room -= len(line)
        if room < 0 or _trailer(line) is None:
            raise BadRequest("the trailers are not NAME: VALUE, or are over the limit")


def check_body(head: RequestHead, limit: int) -> None:
    """Refuse a body that is announced to be too large, before it is asked for.

    :param limit: largest body in bytes; 0 takes any
    :raises BadRequest: it is over the limit
    """
    if limit and head.content_length is not None and head.content_length > limit:
        raise _too_large()


def _too_large() -> BadRequest:
    return BadRequest("its body is over the limit", "413 Content Too Large")


def receive_body(
    reader: Reader, head: RequestHead, spool_size: int, limit: int = 0
) -> tuple[BinaryIO, int | None]:
    """The whole body as a file at its beginning, and its length; None when there is none.

    :param spool_size: bytes that are held in memory; a larger body goes to disk
    :param limit: largest body in bytes; 0 takes any
    :raises BadRequest: a body in chunks is not valid, or over the limit, or comes too slowly, or
        the disk takes no more
    :raises ConnectionError: the client left within it
    """
    length = head.content_length
    if not head.chunked:
        if not length:
            return io.BytesIO(), length
        if length <= min(spool_size, _PIECE):
            return io.BytesIO(b"".join(pieces(reader, length))), length
    body = tempfile.SpooledTemporaryFile(spool_size)  # noqa: SIM115  # its reader closes it
    size = 0
    try:
        for piece in chunks(reader) if length is None else pieces(reader, length):
            size += len(piece)
            if size > limit > 0:
                raise _too_large()
            _keep(body, piece)
        length = body.tell()
        _keep(body, None)
    except BaseException:
        spool.discard(body)
        raise
    return cast(BinaryIO, body), length


def _keep(body: tempfile.SpooledTemporaryFile[bytes], piece: bytes | None) -> None:
    """Write *piece*, or when it is None go back to the beginning.

    :raises BadRequest: the disk takes no more
    """
    try:
        if piece is None:
            body.seek(0)
        else:
            body.write(piece)
    except OSError as error:
        spool.complain(error)
        raise BadRequest("its body cannot be kept", spool.NO_ROOM) from error
