"""The stream of one accepted connection while it speaks HTTP.

Law: Tornado's parser sees a request only through the methods here, so what it is lenient
about is refused here, what it does not know is taken out here, and what it would only cut off is
answered here: bare line feeds (RFC 9112 section 2.2), heads that are too large, chunk
extensions and trailers (section 7.1), malformed requests.
"""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tornado.httputil import HTTPHeaders, HTTPInputError
from tornado.iostream import IOStream, UnsatisfiableReadError

#: Seconds that a client may be silent while the server waits for (more of) a request.
SILENCE = 75.0
#: Largest line of a chunked body: a chunk's size with its extensions, or a trailer field.
_CHUNK_LINE = 4096
#: Trailer fields of one body.
_TRAILERS = 100
#: What Tornado writes before it closes a connection with a malformed request.
_TORNADO_REFUSES = b"HTTP/1.1 400 Bad Request\r\n\r\n"

Refuse = Callable[[socket.socket, bytes], object]


def _answer(status: str) -> bytes:
    body = f"{status[4:]}\n"
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    ).encode()


class Stream(IOStream):
    """An ``IOStream`` that is strict, and that keeps TCP_NODELAY as it is.

    :param sock: the accepted socket
    :param refuse: given a socket and a last answer; owns the socket from then on
    """

    def __init__(self, sock: socket.socket, refuse: Refuse) -> None:
        super().__init__(sock)
        self._refuse = refuse
        #: largest head, while one is read
        self._head_limit = 0
        self._body_ended = False
        #: the client's FIN came while an answer was due
        self._half_closed = False
        #: monotonic time at which the client counts as gone; infinite while nothing is due from it
        self.deadline = math.inf

    def heard(self) -> None:
        """The client sent something, more is due."""
        self.deadline = time.monotonic() + SILENCE

    # -- a client that will send no more ---------------------------------------------

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        """Read; the end of the client's side is kept from the parser while an answer is due.

        RFC 9112 section 9.6: a client may close its side right behind its request, and is owed
        the answer. The parser reads the end when it looks for the next request.
        """
        size = super().read_from_fd(buf)
        if size == 0 and self.deadline == math.inf:
            self._half_closed = True
            return None
        return size

    def _handle_events(self, fd: Any, events: int) -> None:
        super()._handle_events(fd, events)
        self._watch_no_end()

    def _add_io_state(self, state: int) -> None:
        super()._add_io_state(state)
        self._watch_no_end()

    def _watch_no_end(self) -> None:
        """An end that was read once can be read again and again: the loop would spin."""
        state = self._state
        if self._half_closed and state is not None and not self.reading() and not self.closed():
            rest = state & ~self.io_loop.READ
            if rest != state:
                self._state = rest
                self.io_loop.update_handler(self.fileno(), rest)

    def set_nodelay(self, value: bool) -> None:
        """Do nothing: the option is inherited from the listener and stays on."""

    # -- the head ------------------------------------------------------------------

    def read_until_regex(self, regex: bytes, max_bytes: int | None = None) -> Awaitable[bytes]:
        """Read the head of a request.

        :raises HTTPInputError: it has line feeds without a carriage return
        """
        self._head_limit = max_bytes or self.max_buffer_size
        self.heard()
        return self._strict(super().read_until_regex(regex, max_bytes))

    async def _strict(self, read: Awaitable[bytes]) -> bytes:
        head = await read
        self._head_limit = 0
        if head.count(b"\n") != head.count(b"\r\n"):
            raise HTTPInputError("line feed without a carriage return in the request's head")
        return head

    # -- a chunked body --------------------------------------------------------------

    def read_until(self, delimiter: bytes, max_bytes: int | None = None) -> Awaitable[bytes]:
        """Read the line that begins a chunk, without its extensions."""
        return self._read_chunk_line()

    async def _read_chunk_line(self) -> bytes:
        line = await self._read_line()
        size, extended, _ = line.partition(b";")
        if extended:
            size = size.rstrip(b" \t")
        if size and not size.strip(b"0"):
            await self._drop_trailers()
        return size + b"\r\n"

    async def _read_line(self) -> bytes:
        line = (await super().read_until(b"\r\n", max_bytes=_CHUNK_LINE))[:-2]
        if b"\n" in line or b"\r" in line:
            raise HTTPInputError("line feed or carriage return inside a line of a chunked body")
        return line

    async def _drop_trailers(self) -> None:
        trailers = HTTPHeaders()
        for _ in range(_TRAILERS + 1):
            line = await self._read_line()
            if not line:
                self._body_ended = True
                return
            trailers.parse_line(line.decode("latin-1"))
        raise HTTPInputError(f"more than {_TRAILERS} trailer fields")

    def read_bytes(self, num_bytes: int, partial: bool = False) -> Awaitable[bytes]:
        """Read from the body; the line end of a chunked one was read with its trailers."""
        if self._body_ended:
            self._body_ended = False
            ended: asyncio.Future[bytes] = asyncio.Future()
            ended.set_result(b"\r\n")
            return ended
        return super().read_bytes(num_bytes, partial)

    # -- the end ---------------------------------------------------------------------

    def write(self, data: bytes | memoryview) -> asyncio.Future[None]:
        """Write; Tornado's answer to a malformed request is replaced by a complete one."""
        if data == _TORNADO_REFUSES and not self.closed():
            self._refuse(self.socket.dup(), _answer("400 Bad Request"))
            data = b""
        return super().write(data)

    def close(self, exc_info: Any = False) -> None:
        """Close; a request that passes a limit of the parser is answered first."""
        if isinstance(exc_info, UnsatisfiableReadError) and not self.closed():
            self._refuse(self.socket.dup(), _answer(self._passed_limit()))
        super().close(exc_info)

    def _passed_limit(self) -> str:
        if not self._head_limit:
            return "400 Bad Request"
        end = self._read_buffer.lstrip(b"\r\n").find(b"\n")
        # Where the request line alone is too long, it is its fault.
        if end < 0 or end > self._head_limit:
            return "414 URI Too Long"
        return "431 Request Header Fields Too Large"

    def release(self) -> tuple[socket.socket, bytes]:
        """Give up the socket: returns it and what the client had sent beyond the request.

        Only after ``HTTP1Connection.detach()``, in the loop's thread.

        :raises ConnectionError: the client has gone
        """
        if self.closed() or self.writing():
            raise ConnectionAbortedError("the client has gone")
        # A partial read takes what is in the buffer, or what is in the socket.
        early = super().read_bytes(self.max_buffer_size, partial=True)
        assert isinstance(early, asyncio.Future)
        if self.closed() and not (early.done() and early.exception() is None):
            raise ConnectionAbortedError("the client has gone")
        self.io_loop.remove_handler(self.fileno())
        sock, self.socket = self.socket, None  # type: ignore[assignment]
        self._closed = True
        return sock, early.result() if early.done() else b""
