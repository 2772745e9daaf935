"""One response: PEP 3333's start_response and write on top, HTTP/1.x bytes below.

Law: *what the client reads has exactly one end*: a Content-Length that is kept, chunks
with their last one, or the end of the connection; and an answer that went wrong after its
head is cut, never completed. A response belongs to one request, so an application that
keeps its ``write`` cannot write into the next one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from types import TracebackType
from typing import Protocol, TypeAlias

import gevent

from dualws.tcp import HasOptions, acknowledged
from dualws_gevent.head import RequestHead, lower_name

ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]

_find_control = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search
_is_status = re.compile(r"[1-9][0-9]{2}(?: .*)?").fullmatch

#: A head and its first piece are sent together up to this size.
_JOINED = 64 * 1024
#: Bytes that one response may send before the others get a turn.
_TURN = 256 * 1024


class Sender(HasOptions, Protocol):
    """The socket as a response sees it: blocks its greenlet only."""

    def send(self, data: bytes | memoryview, /) -> int: ...


class _Clock:
    """The Date header, formatted once a second."""

    second = 0
    text = ""

    @classmethod
    def date(cls) -> str:
        now = int(time.time())
        if now != cls.second:
            cls.second, cls.text = now, formatdate(now, usegmt=True)
        return cls.text


class Response:
    """The answer to one request.

    :param sock: the connection
    :param head: the request
    """

    def __init__(self, sock: Sender, head: RequestHead) -> None:
        self._sock = sock
        self._modern = head.version == "HTTP/1.1"
        self._is_head = head.method == "HEAD"
        #: after this response the connection stays open
        self.keep_alive = head.keep_alive
        #: status line without the version; empty before start_response
        self.status = ""
        #: bytes of the body that were sent
        self.length = 0
        #: the head is on its way
        self.begun = False
        #: the client cannot be reached any more
        self.gone = False
        #: the connection has left HTTP: whatever the application still does is dropped
        self.switched = False
        #: the application broke a rule of PEP 3333 that the client can still be served with
        self.complaint = ""
        #: asked, right before the head is sent, whether the connection must end after it
        self.must_close: Callable[[], bool] | None = None
        self._headers: list[tuple[str, str, str]] = []
        self._left: int | None = None
        self._total: int | None = None
        self._chunked = False
        self._bodiless = self._is_head
        self._turn = 0
        #: bytes that the client had taken when a send waited for too long
        self._taken = -1

    # -- what the application calls -----------------------------------------------

    def start_response(
        self,
        status: str,
        headers: list[tuple[str, str]],
        exc_info: ExcInfo | None = None,
    ) -> Callable[[bytes], object]:
        """PEP 3333's ``start_response``.

        :raises AssertionError: it was called before, and there is no *exc_info*
        :raises TypeError: the status, a name or a value is not a ``str``
        :raises ValueError: the status or a header would not be valid HTTP
        """
        if exc_info:
            try:
                if self.begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.status and not self.switched:
            raise AssertionError("start_response was called a second time without exc_info")
        if not isinstance(status, str):
            raise TypeError(f"the status must be a str, not {status!r}")
        if not _is_status(status) or _find_control(status):
            raise ValueError(f"the status must be like '200 OK', not {status!r}")
        status.encode("latin-1")
        checked = []
        for name, value in headers:
            if not isinstance(name, str) or not isinstance(value, str):
                raise TypeError(f"a header's name and value must be str, not {name!r}: {value!r}")
            lower = lower_name(name)
            # What is printable has no controls: only the few others need a closer look.
            if not lower or (not value.isprintable() and _find_control(value)):
                raise ValueError(f"a header that is not valid HTTP: {name!r}: {value!r}")
            if not value.isascii():
                value.encode("latin-1")
            if lower == "transfer-encoding":
                raise ValueError("Transfer-Encoding is the server's (PEP 3333): leave it out")
            if lower == "content-length" and not (value.isascii() and value.isdecimal()):
                raise ValueError(f"Content-Length must be a number, not {value!r}")
            checked.append((name, lower, value))
        if not self.switched:
            self.status = status
            self._headers = checked
        return self.write

    def write(self, data: bytes) -> None:
        """PEP 3333's ``write``: send *data*, with the head before it the first time.

        :raises AssertionError: start_response was not called
        :raises OSError: the client has gone
        """
        if self.switched:
            return
        if not isinstance(data, bytes):
            raise TypeError(f"the body must be bytes, not {type(data).__name__}")
        if not self.status:
            raise AssertionError("the application sent a body before it called start_response")
        if not self.begun:
            self._begin(data, self._total)
        elif data and not self._bodiless:
            self._send_piece(data)

    # -- what the handler calls ----------------------------------------------------

    def send_all(self, result: Iterable[bytes]) -> None:
        """Send the application's *result* as it is produced, to its end.

        :raises OSError: the client has gone
        """
        if isinstance(result, list | tuple) and not self.begun:
            self._total = sum(map(len, result))
        for data in result:
            if self.switched or not data:
                continue
            self.write(data)
            if self._bodiless:
                break
        if self.switched:
            return
        if not self.status:
            raise AssertionError("the application ended without calling start_response")
        if not self.begun:
            self._begin(b"", 0)
        if self._chunked:
            self._send(b"0\r\n\r\n")
        elif self._left:
            self.keep_alive = False
            self.complaint = f"the body is {self._left} bytes shorter than its Content-Length"

    def fail(self) -> None:
        """Answer an application's exception: 500, or cut what has begun."""
        self.keep_alive = False
        if self.begun or self.gone or self.switched:
            return
        self._headers = [("Content-Type", "content-type", "text/plain; charset=utf-8")]
        self.status = "500 Internal Server Error"
        body = b"Internal Server Error\n"
        self._begin(body, len(body))

    # -- HTTP ----------------------------------------------------------------------

    def _begin(self, data: bytes, total: int | None) -> None:
        """Send the head and, together with it, the first piece of the body.

        :param total: length of the whole body where it is known
        """
        code = int(self.status[:3])
        self.begun = True
        if self.must_close is not None and self.must_close():
            self.keep_alive = False
        lengthless = code < 200 or code in (204, 304)
        self._bodiless = lengthless or self._is_head
        lines = [f"HTTP/1.1 {self.status}"]
        options: list[str] = []
        dated = False
        for name, lower, value in self._headers:
            if lower == "connection":
                options += (option.strip() for option in value.split(","))
                continue
            if lower == "content-length":
                # RFC 9110 section 8.6; on a 304 it would be the other answer's length.
                if lengthless:
                    continue
                self._left = int(value)
            elif lower == "date":
                dated = True
            lines.append(f"{name}: {value}")
        if "close" in (option.lower() for option in options):
            self.keep_alive = False
        if not lengthless and self._left is None:
            if total is not None and (total or not self._is_head):
                lines.append(f"Content-Length: {total}")
                self._left = total
            elif self._is_head:
                pass
            elif self._modern:
                lines.append("Transfer-Encoding: chunked")
                self._chunked = True
            else:
                self.keep_alive = False
        if not dated:
            lines.append(f"Date: {_Clock.date()}")
        options = [option for option in options if option.lower() not in ("close", "keep-alive")]
        if not self.keep_alive:
            options.append("close")
        elif not self._modern:
            options.append("keep-alive")
        if options:
            lines.append(f"Connection: {', '.join(options)}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        if self._bodiless:
            self._left = None
            self._send(head)
        elif data:
            self._send_piece(data, head)
        else:
            self._send(head)

    def _send_piece(self, data: bytes, head: bytes = b"") -> None:
        if self._left is not None:
            if len(data) > self._left:
                self.complaint = "the body is longer than its Content-Length: the rest is dropped"
                self.keep_alive = False
                data = data[: self._left]
            self._left -= len(data)
        self.length += len(data)
        if self._chunked:
            head += b"%x\r\n" % len(data)
        if len(data) <= _JOINED:
            self._send(head + data + b"\r\n" if self._chunked else head + data)
            return
        view = memoryview(data)
        if head:
            self._send(head + view[:_JOINED])
            view = view[_JOINED:]
        self._send(view)
        if self._chunked:
            self._send(b"\r\n")

    def _send(self, data: bytes | memoryview) -> None:
        size = len(data)
        try:
            sent = self._send_some(data)
            if sent < size:
                with memoryview(data) as view:
                    while sent < size:
                        sent += self._send_some(view[sent:])
        except OSError:
            self.gone = True
            self.keep_alive = False
            raise
        self._turn += size
        if self._turn >= _TURN:
            self._turn = 0
            gevent.sleep(0)

    def _send_some(self, data: bytes | memoryview) -> int:
        while True:
            try:
                return self._sock.send(data)
            except TimeoutError:
                # Of the system's large buffer a slow client may have taken something all the same.
                taken = acknowledged(self._sock)
                if taken < 0 or taken == self._taken:
                    raise
                self._taken = taken
