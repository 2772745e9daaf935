"""The stream of one accepted connection while it speaks HTTP.

Law: Tornado's parser reads the head of a request through :meth:`Stream.read_until_regex`
and nothing else, so what the parser is lenient about, and what it would only cut off, is
refused here: bare line feeds (RFC 9112 section 2.2), heads that are too large.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from tornado.httputil import HTTPInputError
from tornado.iostream import IOStream, UnsatisfiableReadError

#: Seconds that a client may be silent while the server waits for (more of) a request.
SILENCE = 75.0

_TOO_LONG = "HTTP/1.1 {} {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Stream(IOStream):
    """An ``IOStream`` that answers oversized heads and keeps TCP_NODELAY as it is.

    :param sock: the accepted socket
    :param refuse: given a socket and a last answer; owns the socket from then on
    """

    def __init__(
        self, sock: socket.socket, refuse: Callable[[socket.socket, bytes], object]
    ) -> None:
        super().__init__(sock)
        self._refuse = refuse
        self._reads_head = False
        #: loop time at which the client counts as gone; infinite while none of its bytes are due
        self.deadline = math.inf

    def heard(self) -> None:
        """The client sent something, more is due."""
        self.deadline = self.io_loop.time() + SILENCE

    def set_nodelay(self, value: bool) -> None:
        """Do nothing: the option is inherited from the listener and stays on."""

    def read_until_regex(self, regex: bytes, max_bytes: int | None = None) -> Awaitable[bytes]:
        """Read the head of a request.

        :raises HTTPInputError: it has line feeds without a carriage return
        """
        self._reads_head = True
        self.heard()
        return self._strict(super().read_until_regex(regex, max_bytes))

    async def _strict(self, read: Awaitable[bytes]) -> bytes:
        head = await read
        self._reads_head = False
        if head.count(b"\n") != head.count(b"\r\n"):
            raise HTTPInputError("line feed without a carriage return in the request's head")
        return head

    def close(self, exc_info: Any = False) -> None:
        """Close; a request whose head is too large is answered with 414 or 431 first."""
        if isinstance(exc_info, UnsatisfiableReadError) and self._reads_head and not self._closed:
            # Without a line end in all this it is the request line that is too long.
            line_ended = b"\n" in self._read_buffer.lstrip(b"\r\n")
            status = (
                (431, "Request Header Fields Too Large") if line_ended else (414, "URI Too Long")
            )
            self._refuse(self.socket.dup(), _TOO_LONG.format(*status).encode())
        super().close(exc_info)

    def release(self) -> tuple[socket.socket, bytes]:
        """Give up the socket: returns it and what the client had sent beyond the request.

        Only after ``HTTP1Connection.detach()``, in the loop's thread.

        :raises ConnectionError: the client has gone
        """
        if self.closed() or self.writing():
            raise ConnectionAbortedError("the client has gone")
        # A partial read takes what is in the buffer, or what is in the socket.
        early = self.read_bytes(self.max_buffer_size, partial=True)
        if self.closed():
            raise ConnectionAbortedError("the client has gone")
        self.io_loop.remove_handler(self.fileno())
        sock, self.socket = self.socket, None  # type: ignore[assignment]
        self._closed = True
        return sock, early.result() if early.done() else b""  # type: ignore[attr-defined]
