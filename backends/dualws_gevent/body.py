"""Request bodies: a buffer over the socket, and the two ways in which a body ends.

Law: *a body is never wholly in memory*. One with a Content-Length is read from the socket
as the application asks for it; one in chunks, whose length Django must know before it
reads, is spooled to a temporary file first.
"""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Protocol

from dualws_gevent.head import BadRequest, find_head

#: Most that one recv takes, and the size of the pieces that are copied to a file.
_PIECE = 64 * 1024
#: Chunk extensions and trailers are dropped; this is the most of them.
_MAX_CHUNK_LINE = 4096
_MAX_TRAILERS = 64 * 1024
_chunk_size = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?").fullmatch
_trailer = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\x00-\x08\x0a-\x1f\x7f]*").fullmatch


class Receiver(Protocol):
    """The socket as a reader sees it: blocks its greenlet only."""

    def recv(self, size: int, /) -> bytes: ...


class Reader:
    """Reads one connection; keeps what came too early for the next that asks.

    :param sock: the connection
    """

    __slots__ = ("_sock", "buffer")

    def __init__(self, sock: Receiver) -> None:
        self._sock = sock
        self.buffer = bytearray()

    def fill(self) -> bool:
        """Wait for more bytes; False when the client will send no more."""
        data = self._sock.recv(_PIECE)
        self.buffer += data
        return bool(data)

    def head(self, limit: int) -> bytes | None:
        """The next request's head; None when the client left before it was complete.

        :param limit: largest request line, and largest head, in bytes
        :raises BadRequest: it will never be a head, or is over the limit
        """
        while True:
            if self.buffer:
                found = find_head(self.buffer, limit)
                if found:
                    data = bytes(self.buffer[found[0] : found[1]])
                    del self.buffer[: found[1]]
                    return data
            if not self.fill():
                return None

    def some(self, size: int) -> bytes:
        """Between one and *size* bytes; empty when the client will send no more."""
        if not self.buffer:
            return self._sock.recv(min(size, _PIECE))
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


class LengthBody(io.BufferedIOBase):
    """``wsgi.input`` of a body with a Content-Length.

    :param reader: the connection
    :param length: bytes of the body
    :param before_read: called once, before the first read waits for the client: sends
        100 Continue when the client asked for it
    """

    def __init__(
        self, reader: Reader, length: int, before_read: Callable[[], object] | None = None
    ) -> None:
        self._reader = reader
        self._before_read = before_read
        #: bytes that the application has not read yet
        self.left = length

    @property
    def untouched(self) -> bool:
        """The client was told nothing yet and may still be waiting for 100 Continue."""
        return self._before_read is not None

    def readable(self) -> bool:
        return True

    def _some(self, size: int) -> bytes:
        if self._before_read is not None:
            before_read, self._before_read = self._before_read, None
            before_read()
        data = self._reader.some(min(size, self.left))
        if not data:
            raise _gone()
        self.left -= len(data)
        return data

    def read(self, size: int | None = -1, /) -> bytes:
        """The next *size* bytes, fewer only at the end of the body; all without a size.

        :raises ConnectionError: the client left before it had sent the whole body
        """
        wanted = self.left if size is None or size < 0 else min(size, self.left)
        if not wanted:
            return b""
        data = self._some(wanted)
        if len(data) == wanted:
            return data
        parts = [data]
        wanted -= len(data)
        while wanted:
            data = self._some(wanted)
            parts.append(data)
            wanted -= len(data)
        return b"".join(parts)

    def read1(self, size: int = -1, /) -> bytes:
        """What is there, at most *size* bytes; waits when nothing is."""
        wanted = self.left if size < 0 else min(size, self.left)
        return self._some(wanted) if wanted else b""

    def readline(self, size: int | None = -1, /) -> bytes:
        """The next line with its end, at most *size* bytes of it.

        :raises ConnectionError: the client left before it had sent the whole body
        """
        wanted = self.left if size is None or size < 0 else min(size, self.left)
        parts = []
        buffer = self._reader.buffer
        while wanted:
            if not buffer:
                # What lies past the line's end must stay in the reader.
                data = self._some(min(wanted, _PIECE))
                end = data.find(b"\n") + 1
                if end:
                    buffer[:0] = data[end:]
                    self.left += len(data) - end
                    parts.append(data[:end])
                    break
            else:
                end = buffer.find(b"\n", 0, wanted) + 1
                data = self._some(end or min(wanted, len(buffer)))
                if end:
                    parts.append(data)
                    break
            parts.append(data)
            wanted -= len(data)
        return b"".join(parts)

    def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        """The lines that follow, about *hint* bytes of them."""
        lines = []
        size = 0
        for line in self:
            lines.append(line)
            size += len(line)
            if hint is not None and 0 < hint <= size:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def drain(self, limit: int) -> bool:
        """Drop what is left so that the next request can be read; False over *limit* bytes."""
        if self.left > limit:
            return False
        while self.left:
            self._some(self.left)
        return True


def chunks(reader: Reader) -> Iterator[bytes]:
    """The pieces of a chunked body (RFC 9112 section 7.1), trailers dropped.

    :raises BadRequest: it is not valid
    :raises ConnectionError: the client left within it
    """
    while True:
        match = _chunk_size(reader.line(_MAX_CHUNK_LINE))
        if match is None:
            raise BadRequest("a chunk size is not a hexadecimal number")
        left = int(match[1], 16)
        if not left:
            break
        while left:
            data = reader.some(left)
            if not data:
                raise _gone()
            left -= len(data)
            yield data
        if reader.line(0):
            raise BadRequest("a chunk is longer than its size")
    room = _MAX_TRAILERS
    while line := reader.line(_MAX_CHUNK_LINE):
        room -= len(line)
        if room < 0 or _trailer(line) is None:
            raise BadRequest("the trailers are not NAME: VALUE, or are over the limit")


def spool(pieces: Iterable[bytes], size: int) -> tuple[IO[bytes], int]:
    """Hold *pieces* in a file that starts in memory; the file at its beginning, its length.

    :param size: bytes held in memory before it goes to disk
    """
    file = tempfile.SpooledTemporaryFile(max_size=size)  # noqa: SIM115
    try:
        for piece in pieces:
            file.write(piece)
    except BaseException:
        file.close()
        raise
    length = file.tell()
    file.seek(0)
    return file, length
