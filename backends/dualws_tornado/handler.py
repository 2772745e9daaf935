"""One HTTP request: from Tornado's parser through the application and back.

Law: head and body are received in the loop's thread, the body into memory or a file. Then
the whole WSGI cycle (call, iterate, close) runs in one worker thread, in a
``contextvars`` context of its own; what the request leaves to be done after it
(``Upgrade.after``) runs in the same context.
"""

from __future__ import annotations

import contextvars
import io
import logging
import tempfile
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast

from tornado.http1connection import HTTP1Connection
from tornado.httputil import (
    HTTPHeaders,
    HTTPInputError,
    HTTPMessageDelegate,
    RequestStartLine,
    ResponseStartLine,
)

from dualws.contract import ENVIRON_UPGRADE, Environ
from dualws.serving import spool
from dualws.serving.environ import make_environ
from dualws_tornado.channel import Channel, ClientGone
from dualws_tornado.response import Response
from dualws_tornado.upgrade import Upgrade

if TYPE_CHECKING:
    from dualws_tornado.server import WebSocketServer, _Connection

Address: TypeAlias = Any

log = logging.getLogger("dualws.server")

#: Status lines in the access log of requests that have no HTTP response.
_SWITCHED = "101 Switching Protocols"
_GONE = "499 Client Closed Request"
#: Status line of the answer to a body that is over the limit.
_TOO_LARGE = "413 Content Too Large"
#: More digits than any body's length has: int() of a hostile number is slow.
_DIGITS = 18


class UpgradableWSGIHandler(HTTPMessageDelegate):
    """Runs one request; it may leave HTTP through ``environ["dualws.upgrade"]``.

    :param server: the server
    :param connection: the connection it came on
    :param exchange: Tornado's side of the request
    """

    def __init__(
        self, server: WebSocketServer, connection: _Connection, exchange: HTTP1Connection
    ) -> None:
        self.server = server
        self.connection = connection
        self._exchange: HTTP1Connection | None = exchange
        self._channel: Channel | None = None
        self._start: RequestStartLine | None = None
        self._headers: HTTPHeaders | None = None
        self._body: Any = None
        self._size = 0
        self._begun = 0.0

    # -- in the loop's thread -------------------------------------------------------

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> None:
        """Take the head.

        :raises HTTPInputError: it is one that another HTTP parser might understand differently
        """
        assert isinstance(start_line, RequestStartLine)
        self._start = start_line
        self._begun = time.monotonic()
        self._headers = headers
        self.connection.busy = True
        hosts = len(headers.get_list("Host"))
        if hosts > 1 or (not hosts and start_line.version != "HTTP/1.0"):
            # RFC 9112 section 3.2
            raise HTTPInputError("a request needs exactly one Host header")
        if "Transfer-Encoding" in headers:
            if start_line.version == "HTTP/1.0":
                # RFC 9112 section 6.1
                raise HTTPInputError("Transfer-Encoding in an HTTP/1.0 request")
        elif "Content-Length" not in headers:
            return
        else:
            # Tornado judges later whether it is a number at all.
            length = headers["Content-Length"]
            if length.isascii() and length.isdecimal() and len(length) <= _DIGITS:
                limit = self.server.config.max_body_size
                if int(length) > limit > 0:
                    self.connection.stream.refusal = _TOO_LARGE
                    raise HTTPInputError("the body is over the limit")
        self._body = _spool(self.server.config.spool_size)
        self.connection.stream.body_due()
        if headers.get("Expect", "").lower() == "100-continue":
            # Tornado would answer it in HTTP/1.0 too (RFC 9110 section 10.1.1).
            self._headers = headers.copy()
            del headers["Expect"]
            if start_line.version != "HTTP/1.0" and headers.get("Content-Length") != "0":
                self.connection.stream.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def data_received(self, chunk: bytes) -> None:
        """Take a part of the body; nothing more of a request that is refused."""
        stream = self.connection.stream
        if stream.refused:
            return
        self._size += len(chunk)
        if self._size > self.server.config.max_body_size > 0:
            stream.refuse(_TOO_LARGE)
            return
        try:
            self._body.write(chunk)
        except OSError as error:
            spool.complain(error)
            stream.refuse(spool.NO_ROOM)
            return
        stream.body_received(len(chunk))

    def finish(self) -> None:
        """The request is complete: give it to a worker thread.

        :raises HTTPInputError: it was refused while its body came
        """
        stream = self.connection.stream
        if stream.refused:
            # What has come is still parsed to its end, and what is behind it would be after that.
            raise HTTPInputError("the request was refused")
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        stream.answer_due()
        server = self.server
        self._channel = Channel(server.runtime, exchange, stream, self._over)
        exchange.set_close_callback(self._channel.lost)
        server.active.add(self)
        server.workers.submit(self.run)

    def _over(self) -> None:
        self.server.request_over(self)

    def on_connection_close(self) -> None:
        """The client left before its request was complete, or it was malformed."""
        self._exchange = None
        if self._body is not None:
            spool.discard(self._body)

    # -- in the worker thread --------------------------------------------------------

    def run(self) -> None:
        """Run the WSGI cycle, and what it leaves to be done afterwards."""
        context = contextvars.Context()
        upgrade = context.run(self._cycle)
        if upgrade is None:
            return
        try:
            handler = upgrade.take_handler()
            if handler is not None:
                upgrade.finish(lambda: _run_logged(context, handler))
        finally:
            upgrade.give_back()

    def _cycle(self) -> Upgrade | None:
        channel, start, headers = self._channel, self._start, self._headers
        assert channel is not None
        assert start is not None
        assert headers is not None
        self._channel = self._start = self._headers = None
        body: BinaryIO = cast(BinaryIO, self._body) if self._body is not None else io.BytesIO()
        keep = _keeps_alive(start, headers)
        server = self.server
        link = self.connection.link
        response = Response(channel, start.method, start.version, keep, server.is_ending)
        try:
            body.seek(0)
        except OSError as error:
            spool.complain(error)
            spool.discard(body)
            self._refuse(start, response, spool.NO_ROOM)
            return None
        try:
            environ = make_environ(
                method=start.method,
                target=start.path,
                version=start.version,
                headers=headers.get_all(),
                server=self.server,
                local=_address(self.connection.local),
                peer=_address(self.connection.peer),
                scheme="http" if link is None else link.scheme,
                input=body,
                content_length=self._size if self._body is not None else None,
                multithread=True,
            )
        except ValueError as error:
            log.info("bad request from %s: %s", self.connection, error)
            self._refuse(start, response, "400 Bad Request")
            body.close()
            return None
        if link is not None:
            environ.update(link.variables)
        upgrade: Upgrade | None = None
        if not self._size and "Upgrade" in headers:
            upgrade = environ[ENVIRON_UPGRADE] = Upgrade(
                self.server, channel, response, self.connection
            )
        try:
            self._call(environ, response)
        except ClientGone:
            pass
        except BaseException:
            log.exception("unexpected error in the application: %s %s", start.method, start.path)
            response.fail("500 Internal Server Error")
        finally:
            body.close()
        seeing = server.seeing
        if seeing is not None:
            status = _SWITCHED if response.left else response.status or _GONE
            seeing.request_done(environ, status, response.length, self._begun)
        return upgrade

    def _refuse(self, start: RequestStartLine, response: Response, status: str) -> None:
        line = f"{start.method} {start.path} {start.version}".encode("latin-1")
        self.server.refused(status, self.connection.peer, line, self._begun)
        response.fail(status)

    def _call(self, environ: Environ, response: Response) -> None:
        result: Iterable[bytes] = self.server.application(environ, response.start_response)
        try:
            response.send(result)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()


def _spool(size: int) -> Any:
    """A file that is in memory up to *size* bytes, on disk past it."""
    return tempfile.SpooledTemporaryFile(max_size=size)


def _address(address: Any) -> tuple[str, int] | str:
    """A socket's address as ``make_environ`` takes it: without IPv6's flow and scope."""
    if isinstance(address, tuple):
        return address[0], address[1]
    return address if isinstance(address, str) else ""


def _keeps_alive(start: RequestStartLine, headers: HTTPHeaders) -> bool:
    """Whether the client wants to go on with this connection (RFC 9112 section 9.3)."""
    options = headers.get("Connection", "").lower()
    if start.version == "HTTP/1.0":
        # As Tornado decides it, who would close the connection otherwise.
        return options == "keep-alive" and (
            start.method in ("GET", "HEAD") or "Content-Length" in headers
        )
    return "close" not in [option.strip() for option in options.split(",")]


def _run_logged(context: contextvars.Context, handler: Callable[[], object]) -> None:
    try:
        context.run(handler)
    except BaseException:
        log.exception("unexpected error in a handler that ran after its request")
