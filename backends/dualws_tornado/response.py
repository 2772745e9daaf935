"""The response half of WSGI (PEP 3333): ``start_response``, ``write``, and the framing of the body.

Law: the application's headers go out as they are, in their order, or not at all; what
belongs to the connection (framing, keep-alive) is decided here (RFC 9112 sections 6 and 9).
Everything runs in the worker thread of the request.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from types import TracebackType
from typing import Any, TypeAlias

from dualws_tornado.channel import Channel

ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType]

_STATUS = re.compile(r"[1-9][0-9]{2}(?: [\t\x20-\x7e\x80-\xff]*)?")
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
#: The server's own (PEP 3333 forbids them to applications); "Connection: close" is heard.
_FRAMING = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding"})
#: Head and body leave in one piece up to this size.
_BLOCK = 64 * 1024

_date = (0, "")


def http_date() -> str:
    """The time as an HTTP date (RFC 9110 section 5.6.7), formatted once a second."""
    global _date
    now = int(time.time())
    second, text = _date
    if second != now:
        text = formatdate(now, usegmt=True)
        _date = (now, text)
    return text


class Response:
    """One response.

    :param channel: takes the bytes
    :param method: request method
    :param version: ``HTTP/1.0`` or ``HTTP/1.1``
    :param keep: whether the client allows another request on this connection
    :param must_close: asked, right before the head is sent, whether the connection must
        end after it all the same
    """

    def __init__(
        self,
        channel: Channel,
        method: str,
        version: str,
        keep: bool,
        must_close: Callable[[], bool] = lambda: False,
    ) -> None:
        self._channel = channel
        self._method = method
        self._version = version
        self._keep = keep
        self._must_close = must_close
        self._headers: list[tuple[str, str]] = []
        self._chunked = False
        self._bodiless = False
        #: bytes of the body that Content-Length still promises
        self._due: int | None = None
        #: status line, empty until ``start_response`` was called
        self.status = ""
        #: the head has been sent: no other answer is possible any more
        self.started = False
        #: bytes of the body that were sent
        self.length = 0
        #: the connection has left HTTP: whatever the application still says is dropped
        self.left = False

    def start_response(
        self,
        status: str,
        headers: list[tuple[str, str]],
        exc_info: ExcInfo | None = None,
    ) -> Callable[[bytes], object]:
        """``start_response`` of PEP 3333.

        :raises AssertionError: called again without *exc_info*
        :raises TypeError: *status* or a header is not a ``str``
        :raises ValueError: *status* or a header is malformed
        """
        if self.left:
            return self.write
        if exc_info is not None:
            try:
                if self.started:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.status:
            raise AssertionError("start_response was called a second time without exc_info")
        _check(status, headers)
        self.status = status
        self._headers = list(headers)
        return self.write

    def write(self, data: bytes) -> None:
        """The ``write`` callable of PEP 3333: the bytes are on their way when it returns."""
        if self.left:
            return
        self._check_chunk(data)
        if data:
            self._send(data)

    def send(self, result: Iterable[bytes]) -> None:
        """Send what the application returned, each chunk as it comes, and the end.

        :raises ClientGone: the client has left
        """
        whole: bytes | None = None
        single = _is_single(result) and not self.started
        for chunk in result:
            if self.left:
                continue
            self._check_chunk(chunk)
            if single:
                whole = chunk
            elif chunk:
                self._send(chunk)
                if self._bodiless:
                    break
        if self.left:
            return
        if not self.status:
            raise AssertionError("the application did not call start_response")
        if not self.started:
            # Nothing but this: its length is known, and head and body are one write.
            head = self._head(len(whole or b""))
            body = b"" if self._bodiless else self._frame(whole or b"")
            self._check_due()
            self.started = True
            if len(body) <= _BLOCK:
                self._channel.finish(head + body, self._keep)
            else:
                self._channel.write(head)
                self._channel.write(body)
                self._channel.finish(b"", self._keep)
        else:
            self._check_due()
            self._channel.finish(b"0\r\n\r\n" if self._chunked else b"", self._keep)

    def fail(self, status: str) -> None:
        """Answer *status* and close; a response that has begun is cut."""
        if self.left:
            return
        if self.started:
            self._channel.cut()
            return
        self._keep = False
        self.status = status
        self._headers = [("Content-Type", "text/plain; charset=utf-8")]
        self._due = None
        self._chunked = False
        self.length = 0
        body = status[4:].encode("latin-1") + b"\n"
        head = self._head(len(body))
        self.started = True
        self._channel.finish(head if self._bodiless else head + self._frame(body), False)

    # -- framing -------------------------------------------------------------------

    def _check_chunk(self, chunk: bytes) -> None:
        if not isinstance(chunk, bytes):
            raise TypeError(f"the application sent {type(chunk).__name__}, not bytes")
        if not self.status:
            raise AssertionError("the application sent data before it called start_response")

    def _send(self, chunk: bytes) -> None:
        if not self.started:
            head = self._head(None)
            body = b"" if self._bodiless else self._frame(chunk)
            self.started = True
            if len(body) <= _BLOCK:
                self._channel.write(head + body)
                return
            self._channel.write(head)
            self._channel.write(body)
        elif not self._bodiless:
            self._channel.write(self._frame(chunk))

    def _frame(self, chunk: bytes) -> bytes:
        """*chunk* as it goes over the wire."""
        if self._due is not None:
            if len(chunk) > self._due:
                raise ValueError("the application sent more bytes than its Content-Length says")
            self._due -= len(chunk)
        self.length += len(chunk)
        if self._chunked:
            return b"%x\r\n%b\r\n" % (len(chunk), chunk)
        return chunk

    def _check_due(self) -> None:
        if self._due and not self._bodiless:
            raise ValueError(
                f"the application sent {self._due} bytes less than its Content-Length says"
            )

    def _head(self, length: int | None) -> bytes:
        """The status line and the headers; decides how the body is delimited.

        :param length: size of the whole body where it is known
        """
        code = int(self.status[:3])
        silent = code < 200 or code == 204
        self._bodiless = silent or code == 304 or self._method == "HEAD"
        lines = [f"HTTP/1.1 {self.status if len(self.status) > 3 else self.status + ' '}"]
        sized = dated = False
        for name, value in self._headers:
            lower = name.lower()
            if lower in _FRAMING:
                if lower == "connection" and "close" in value.lower():
                    self._keep = False
                continue
            if lower == "content-length":
                if silent:
                    continue
                sized = True
                self._due = int(value)
            elif lower == "date":
                dated = True
            lines.append(f"{name}: {value}")
        if not dated:
            lines.append(f"Date: {http_date()}")
        if not sized and not silent and code != 304:
            if length is not None:
                lines.append(f"Content-Length: {length}")
            elif self._bodiless:
                pass
            elif self._version == "HTTP/1.0":
                # RFC 9112 section 6.3: only the end of the connection ends such a body.
                self._keep = False
            else:
                self._chunked = True
                lines.append("Transfer-Encoding: chunked")
        if code < 200:
            # Not a final response (RFC 9110 section 15.2): nothing may follow it in order.
            self._keep = False
        if self._must_close():
            self._keep = False
        if not self._keep:
            lines.append("Connection: close")
        elif self._version == "HTTP/1.0":
            lines.append("Connection: keep-alive")
        lines.append("\r\n")
        return "\r\n".join(lines).encode("latin-1")


def _is_single(result: Iterable[bytes]) -> bool:
    """Whether the application's result says that it has one chunk, or none."""
    try:
        return len(result) <= 1  # type: ignore[arg-type]  # most have none
    except TypeError:
        return False


def _check(status: Any, headers: Any) -> None:
    """Refuse what could not be sent, or would end a header early (response splitting)."""
    if not isinstance(status, str):
        raise TypeError(f"the status must be a str such as '200 OK', not {status!r}")
    if not _STATUS.fullmatch(status):
        raise ValueError(f"the status must be like '200 OK', not {status!r}")
    lengths = set()
    for name, value in headers:
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"the header {name!r}: {value!r} must be two str")
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a header name")
        if not _VALUE.fullmatch(value):
            raise ValueError(
                f"the header {name!r} has a control or non-latin-1 character: {value!r}"
            )
        if name.lower() == "content-length":
            lengths.add(value)
            if not (value.isascii() and value.isdigit()):
                raise ValueError(f"Content-Length must be a number, not {value!r}")
    if len(lengths) > 1:
        raise ValueError(f"Content-Length has several values: {sorted(lengths)}")
