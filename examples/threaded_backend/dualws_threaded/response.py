"""One response: PEP 3333 above, HTTP/1.x below.

Law: what the client reads has exactly one end, and an answer that went wrong after its head
is cut, never completed.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable
from email.utils import formatdate
from typing import Any

from dualws_threaded.request import Request

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_STATUS = re.compile(r"[1-9][0-9]{2} [^\x00-\x08\x0a-\x1f\x7f]*")


class Response:
    """The answer to one request.

    :param sock: the connection; blocks
    :param request: the request
    :param stopping: asked before the head is sent whether the connection must end
    """

    def __init__(self, sock: socket.socket, request: Request, stopping: Callable[[], bool]) -> None:
        self._sock = sock
        self._modern = request.version == "HTTP/1.1"
        self._head_only = request.method == "HEAD"
        self._stopping = stopping
        self.keep_alive = request.keep_alive
        self.status = ""
        self.length = 0
        #: the head is out
        self.begun = False
        #: the connection has left HTTP: what the application still does is dropped
        self.left = False
        self._fields: list[tuple[str, str]] = []
        self._missing: int | None = None
        self._chunked = False
        self._bodiless = False

    def start_response(
        self, status: str, fields: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        """PEP 3333's ``start_response``.

        :raises AssertionError: it was called before, and there is no *exc_info*
        :raises TypeError: something that must be ``str`` is not
        :raises ValueError: it would be no valid HTTP
        """
        if exc_info:
            try:
                if self.begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.status and not self.left:
            raise AssertionError("start_response was called a second time without exc_info")
        if not all(isinstance(text, str) for pair in fields for text in (*pair, status)):
            raise TypeError("status, field names and values must be str")
        if not _STATUS.fullmatch(status):
            raise ValueError(f"the status must be like '200 OK', not {status!r}")
        for name, value in fields:
            if not _TOKEN.fullmatch(name) or _CONTROL.search(value):
                raise ValueError(f"a field that is not valid HTTP: {name!r}: {value!r}")
            if name.lower() == "transfer-encoding":
                raise ValueError("Transfer-Encoding is the server's business (PEP 3333)")
        self.status, self._fields = status, list(fields)
        return self.write

    def write(self, data: bytes) -> None:
        """Send *data*, behind the head the first time.

        :raises OSError: the client has gone
        """
        if self.left:
            return
        if not isinstance(data, bytes):
            raise TypeError(f"the body must be bytes, not {type(data).__name__}")
        if not self.status:
            raise AssertionError("the application sent a body before it called start_response")
        head = b"" if self.begun else self._begin()
        if self._bodiless:
            data = b""
        elif self._missing is not None:
            data = data[: self._missing]
            self._missing -= len(data)
        self.length += len(data)
        if data and self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        if head or data:
            self._sock.sendall(head + data)

    def send(self, result: Iterable[bytes]) -> None:
        """Send all that the application yields, to its end."""
        for data in result:
            if data:
                self.write(data)
        if self.left:
            return
        if not self.begun:
            if not any(name.lower() == "content-length" for name, _ in self._fields):
                self._fields.append(("Content-Length", "0"))
            self.write(b"")
        if self._chunked:
            self._sock.sendall(b"0\r\n\r\n")
        elif self._missing:
            self.keep_alive = False

    def fail(self, status: str) -> None:
        """Answer with an error of the server's own, or cut what has begun."""
        self.keep_alive = False
        if not self.begun and not self.left:
            body = f"{status}\n".encode()
            self._fields = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
            self.status = status
            self.write(body)

    def _begin(self) -> bytes:
        """The head, and how the body will end (RFC 9112 section 6.3)."""
        self.begun = True
        if self._stopping():
            self.keep_alive = False
        code = int(self.status[:3])
        lengthless = code < 200 or code in (204, 304)
        self._bodiless = lengthless or self._head_only
        lines = [f"HTTP/1.1 {self.status}"]
        named = {name.lower() for name, _ in self._fields}
        for name, value in self._fields:
            lower = name.lower()
            if lower == "connection":
                self.keep_alive = self.keep_alive and value.lower() != "close"
            elif lower == "content-length" and lengthless:
                continue
            else:
                if lower == "content-length":
                    self._missing = int(value)
                lines.append(f"{name}: {value}")
        if "date" not in named:
            lines.append(f"Date: {formatdate(usegmt=True)}")
        if not self._bodiless and self._missing is None:
            if self._modern:
                self._chunked = True
                lines.append("Transfer-Encoding: chunked")
            else:
                self.keep_alive = False
        options = [value for name, value in self._fields if name.lower() == "connection"]
        if not self.keep_alive:
            options = [*(option for option in options if option.lower() != "close"), "close"]
        elif not self._modern:
            options.append("keep-alive")
        if options:
            lines.append(f"Connection: {', '.join(options)}")
        if self._head_only:
            self._missing = None
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
