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
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from tornado.httputil import HTTPHeaders, HTTPInputError
from tornado.iostream import IOStream, UnsatisfiableReadError

from dualws.contract import ServerConfig
from dualws.limits.deadline import Deadline
from dualws.tcp import acknowledged

if TYPE_CHECKING:
    from dualws.tls.engine import Engine

#: Largest line of a chunked body: a chunk's size with its extensions, or a trailer field.
_CHUNK_LINE = 4096
#: Trailer fields of one body.
_TRAILERS = 100
#: What Tornado writes before it closes a connection with a malformed request.
_TORNADO_REFUSES = b"HTTP/1.1 400 Bad Request\r\n\r\n"

#: What is due: a request, the rest of its head, of its body, the answer.
_IDLE, _HEAD, _BODY, _ANSWER = "idle", "head", "body", "answer"

#: Bytes that are told of what is no request.
_SHOWN = 4096

Refuse = Callable[["Stream", socket.socket, str], object]


def _after(seconds: float) -> float:
    """The time so many seconds from now; never when they are 0."""
    return time.monotonic() + seconds if seconds else math.inf


class Stream(IOStream):
    """An ``IOStream`` that is strict, and that keeps TCP_NODELAY as it is.

    :param sock: the accepted socket
    :param config: the limits of a request
    :param refuse: given the stream, a socket that it owns from then on, and the status of a last
        answer
    """

    #: the connection's TLS
    engine: Engine | None = None
    #: the client's address
    peer: Any = None
    #: the socket is somebody else's
    _claimed = False
    #: it is closed, and not to be had any more
    _ended = False
    #: head of a request that the application has not seen, and when it had come
    _unseen: tuple[bytes, float] | None = None

    def __init__(self, sock: socket.socket, config: ServerConfig, refuse: Refuse) -> None:
        super().__init__(sock)
        #: decides who comes first: :meth:`claim`, or :meth:`close_fd`
        self._ends = threading.Lock()
        self._config = config
        self._refuse = refuse
        #: largest head, while one is read
        self._head_limit = 0
        self._body_ended = False
        #: the client's FIN came while an answer was due
        self._half_closed = False
        #: status line, without the version, of the answer to a request that is refused
        self.refusal = "400 Bad Request"
        #: the last answer is given: nothing that the client has sent counts any more
        self.refused = False
        #: monotonic time at which the client counts as gone; infinite while nothing is due from it
        self.deadline = math.inf
        self._phase = _ANSWER
        self._body: Deadline | None = None
        #: how much the client has taken of responses, and when that was last seen to grow
        self._taken = 0, 0
        self._taken_at = math.inf

    # -- how long the client is waited for -------------------------------------------

    def request_due(self) -> None:
        """A request may come now."""
        self._phase = _IDLE
        self.deadline = _after(self._config.http_idle_timeout)

    def body_due(self) -> None:
        """The body of the request comes now."""
        config = self._config
        self._phase = _BODY
        self._body = Deadline(config.body_timeout, config.body_min_rate, time.monotonic())
        self.deadline = self._body.at

    def body_received(self, size: int) -> None:
        """*size* bytes of the body came."""
        if self._body is not None:
            self._body.received(size, time.monotonic())
            self.deadline = self._body.at

    @property
    def answering(self) -> bool:
        """Whether it is the server's turn: nothing is due from the client."""
        return self._phase is _ANSWER

    def answer_due(self) -> None:
        """The request is complete: it is the server's turn."""
        self._phase = _ANSWER
        self._body = None
        self._unseen = None
        self.deadline = math.inf

    def look(self, now: float) -> str:
        """Close the connection of a client whose time is over.

        :param now: monotonic time
        :return: what was wrong with a client whose response is cut; empty otherwise
        """
        if self._phase is _IDLE and self._read_buffer_size:
            self._phase = _HEAD
            self.deadline = _after(self._config.header_timeout)
        if self.deadline < now:
            if self._phase is _IDLE:
                self.close()
            else:
                self.refuse("408 Request Timeout")
        elif not self.writing():
            self._taken_at = math.inf
        elif self._taken_at == math.inf or self._taken != self._progress():
            self._taken = self._progress()
            self._taken_at = now
        elif now - self._taken_at > self._config.response_timeout > 0:
            self.close()
            return "the client takes nothing (response_timeout)"
        return ""

    def _progress(self) -> tuple[int, int]:
        """What the system has taken, and of that the client: large buffers hide a slow one."""
        return self._total_write_done_index, acknowledged(self.socket)

    def refuse(self, status: str) -> None:
        """Answer the request with *status*, whatever of it has come, and close.

        :param status: status line without the version
        """
        if not self.closed():
            self._refuse_with(status)
            self.close()

    # -- a client that will send no more ---------------------------------------------

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        """Read; the end of the client's side is kept from the parser while an answer is due.

        RFC 9112 section 9.6: a client may close its side right behind its request, and is owed
        the answer. The parser reads the end when it looks for the next request.
        """
        size = self._receive(buf)
        if size == 0 and self.answering:
            self._half_closed = True
            return None
        return size

    def _receive(self, buf: bytearray | memoryview) -> int | None:
        """Receive into *buf*: how many bytes, 0 at the end, None when nothing is there."""
        return super().read_from_fd(buf)

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
        self.request_due()
        return self._strict(super().read_until_regex(regex, max_bytes))

    async def _strict(self, read: Awaitable[bytes]) -> bytes:
        head = await read
        self._head_limit = 0
        self._unseen = head, time.monotonic()
        if head.count(b"\n") != head.count(b"\r\n"):
            raise HTTPInputError("line feed without a carriage return in the request's head")
        # One line is the request's, and one is empty.
        if head.count(b"\n") - 2 > self._config.max_headers > 0:
            self.refusal = "431 Request Header Fields Too Large"
            raise HTTPInputError("too many headers")
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
            self._refuse_with(self.refusal)
            data = b""
        return super().write(data)

    def close(self, exc_info: Any = False) -> None:
        """Close; a request that passes a limit of the parser is answered first."""
        if isinstance(exc_info, UnsatisfiableReadError) and not self.closed():
            self._refuse_with(self._passed_limit())
        super().close(exc_info)

    def _refuse_with(self, status: str) -> None:
        self.refused = True
        try:
            sock = self.socket.dup()
        except OSError:  # no descriptor is left: it is closed without a word
            return
        self._refuse(self, sock, status)

    @property
    def unseen(self) -> tuple[bytes, float | None]:
        """What has come of a request that the application has not seen, and when its head had."""
        return self._unseen or (bytes(self._read_buffer[:_SHOWN]), None)

    def _passed_limit(self) -> str:
        if not self._head_limit:
            return "400 Bad Request"
        end = self._read_buffer.lstrip(b"\r\n").find(b"\n")
        # Where the request line alone is too long, it is its fault.
        if end < 0 or end > self._head_limit:
            return "414 URI Too Long"
        return "431 Request Header Fields Too Large"

    def claim(self) -> socket.socket:
        """Take the socket, which this stream then closes no more; from any thread.

        The loop reads it until :meth:`release`, which is called in its thread.

        :raises ConnectionError: the client has gone
        """
        with self._ends:
            if self._ended or self.writing():
                raise ConnectionAbortedError("the client has gone")
            self._claimed = True
            return self.socket

    def close_fd(self) -> None:
        """Close the socket, unless somebody has it."""
        with self._ends:
            self._ended = True
        if not self._claimed:
            super().close_fd()

    def release(self, *, watched: bool = False) -> tuple[socket.socket, bytes]:
        """Give up the socket: returns it and what the client had sent beyond the request.

        Only after ``HTTP1Connection.detach()``, in the loop's thread.

        :param watched: the caller watches it for reading at once, which is cheaper where the loop
            still does: that is left as it is, to be replaced
        :raises ConnectionError: the client has gone
        """
        if self.closed() or self.writing():
            raise ConnectionAbortedError("the client has gone")
        # A partial read takes what is in the buffer, or what is in the socket.
        early = super().read_bytes(self.max_buffer_size, partial=True)
        assert isinstance(early, asyncio.Future)
        if self.closed() and not (early.done() and early.exception() is None):
            raise ConnectionAbortedError("the client has gone")
        self._leave_loop(watched)
        sock, self.socket = self.socket, None  # type: ignore[assignment]  # as its close does
        self._closed = True
        return sock, early.result() if early.done() else b""

    def _leave_loop(self, watched: bool) -> None:
        loop: Any = self.io_loop
        descriptor = self.socket.fileno()
        if (
            watched
            and descriptor in getattr(loop, "readers", ())
            and descriptor not in loop.writers
        ):
            # Tornado forgets what asyncio goes on to watch.
            loop.readers.discard(descriptor)
            loop.handlers.pop(descriptor, None)
        else:
            loop.remove_handler(descriptor)
