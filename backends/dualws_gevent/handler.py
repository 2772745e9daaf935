"""One HTTP connection on gevent: read a head, run the application, send its answer, again.

Law: *nothing of one request reaches the next*. Each has its own response object, its own
``contextvars`` context (one greenlet serves the whole connection, and a context belongs
to a greenlet), and a body that was read to its end.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import gevent
from gevent import pywsgi
from gevent.hub import GreenletExit
from greenlet import getcurrent

from dualws.contract import ENVIRON_UPGRADE, Environ
from dualws.serving.environ import make_environ
from dualws.serving.last_answer import last_answer
from dualws.serving.listen import name_of
from dualws_gevent.body import Reader, check_body, receive_body
from dualws_gevent.head import BadRequest, parse_head
from dualws_gevent.response import Response
from dualws_gevent.upgrade import Upgrade

if TYPE_CHECKING:
    from gevent.socket import socket as GeventSocket

    from dualws.serving.greeting import Link
    from dualws_gevent.server import Listener

_logger = logging.getLogger("dualws.server")

#: Seconds, and bytes, that a client gets to read the answer before the connection is closed.
_LINGER = 2.0
_LINGERED = 4 * 1024 * 1024
#: Bytes that are told of what is no request.
_SHOWN = 4096
#: Seconds; any time that is not 0 makes the loop go around.
_MOMENT = 1e-9


class UpgradableWSGIHandler(pywsgi.WSGIHandler):
    """Serves one connection; its requests may leave HTTP.

    Stands where pywsgi's handler does, with HTTP of its own: that one's answers to bad
    requests, bodies and connections are too lenient for the open internet.

    :param sock: the accepted connection
    :param address: the client's address
    :param server: the listener that accepted it
    """

    def __init__(self, sock: GeventSocket, address: Any, server: Listener) -> None:
        # pywsgi's __init__ would make a file of the socket, whose buffer hides early bytes.
        self.sock: GeventSocket | None = sock
        self.client_address = address
        self.server: Listener = server
        self.reader = Reader(sock, server.owner.config)
        #: what the connection's greeting told; None without one
        self.link: Link | None = None
        self.greenlet = getcurrent()
        #: a request is being served
        self.busy = False
        self.response: Response | None = None
        #: of a request that the application has not seen: its head, and when that had come
        self._unseen: tuple[bytes, float] | None = None
        self._after: Callable[[], object] | None = None

    # -- the connection ------------------------------------------------------------

    def handle(self) -> None:
        """Serve the connection to its end, its websocket's handler included."""
        after = self.serve()
        if after is not None:
            after()

    def serve(self) -> Callable[[], object] | None:
        """Serve requests until the connection ends or leaves HTTP.

        :return: what is to be called, in a fresh greenlet, once nothing of the handler is left
        """
        try:
            while self._serve_request():
                pass
        except OSError:
            # The client has gone: its business, not the log's.
            pass
        except BadRequest as error:
            self._refuse(error)
        finally:
            if self.sock is not None:
                self.sock.close()
        return self._after

    def _serve_request(self) -> bool:
        """Serve a request; False when the connection is over."""
        sock = self.sock
        if sock is None:
            return False
        config = self.server.owner.config
        data = self.reader.head(config.max_header_size)
        if data is None:
            return False
        begun = time.monotonic()
        self._unseen = data, begun
        head = parse_head(data, config.max_headers)
        check_body(head, config.max_body_size)
        self.busy = True
        # The running greenlet's own context: unlike Context.run() it leaves no frame behind.
        getcurrent().gr_context = contextvars.Context()
        if head.expects_continue and (head.chunked or head.content_length):
            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body, length = receive_body(self.reader, head, config.spool_size, config.max_body_size)
        # From now on it is each write that must make progress.
        sock.settimeout(config.response_timeout or None)
        self.response = response = Response(sock, head)
        response.must_close = self._must_close
        link = self.link
        try:
            environ = make_environ(
                method=head.method,
                target=head.target,
                version=head.version,
                headers=head.headers,
                server=self.server.owner,
                local=self.server.local_address(sock) if link is None else link.local,
                peer=self.client_address,
                scheme="http" if link is None else link.scheme,
                input=body,
                content_length=length,
                multithread=False,
            )
        except ValueError as error:
            raise BadRequest(str(error)) from error
        if link is not None:
            environ.update(link.variables)
        self._unseen = None
        upgrade = None
        if head.upgrade and not length:
            upgrade = environ[ENVIRON_UPGRADE] = Upgrade(self)
        try:
            self._run(environ, response)
        finally:
            if upgrade is not None:
                upgrade.end()
            body.close()
        seeing = self.server.owner.seeing
        if seeing is not None:
            status = response.status or "499 Client Closed Request"
            seeing.request_done(environ, status, response.length, begun)
        return self._next(upgrade)

    def _next(self, upgrade: Upgrade | None) -> bool:
        """Whether another request may be read from this connection."""
        response, self.response = self.response, None
        if upgrade is not None:
            self._after = upgrade.take_handler()
        if self.sock is None or response is None or self._after is not None:
            return False
        if response.gone:
            return False
        if not response.keep_alive or self._must_close():
            if self.reader.buffer:
                self._linger()
            return False
        self.busy = False
        # A client whose next request is there already must not keep the others waiting. A sleep
        # of 0 would come back before the loop looks at the other sockets.
        gevent.sleep(_MOMENT)
        return True

    # -- one request ---------------------------------------------------------------

    def _must_close(self) -> bool:
        """Whether the head that is about to be sent must say that the connection ends."""
        owner = self.server.owner
        return owner.stopping or owner.draining

    def _run(self, environ: Environ, response: Response) -> None:
        """The whole WSGI cycle, ``close()`` included, in this greenlet."""
        result: Iterable[bytes] | None = None
        kept = self.server.owner.kept
        kept.begin()
        whole = False
        try:
            try:
                result = self.server.owner.application(environ, response.start_response)
                response.send_all(result)
            finally:
                close = getattr(result, "close", None)
                if close is not None:
                    close()
            whole = True
        except (GreenletExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._failed(environ, response, error)
        finally:
            kept.end(whole=whole)
        if response.complaint:
            _logger.error(
                "%s %s: %s", environ["REQUEST_METHOD"], environ["RAW_URI"], response.complaint
            )

    def _failed(self, environ: Environ, response: Response, error: BaseException) -> None:
        if response.gone and isinstance(error, OSError):
            if isinstance(error, TimeoutError):
                _logger.info(
                    "The response to %s %s is cut: the client takes nothing (response_timeout)",
                    environ["REQUEST_METHOD"],
                    environ["RAW_URI"],
                )
            return
        _logger.error(
            "The application failed: %s %s",
            environ["REQUEST_METHOD"],
            environ["RAW_URI"],
            exc_info=error,
            extra={"request": environ},
        )
        with contextlib.suppress(OSError):
            response.fail()

    def leave_http(self, status: str) -> tuple[GeventSocket, bytes]:
        """Give the socket and the bytes behind the request away; see ``Upgrade.switch``.

        :param status: status line of the answer, for the access log
        :raises RuntimeError: the response has begun, or the request is over
        """
        response, sock = self.response, self.sock
        if response is None or sock is None or response.begun:
            raise RuntimeError("the response has begun: it is too late to leave HTTP")
        response.switched = True
        response.status = status
        sock.settimeout(None)
        self.sock = None
        self.server.owner.left_http(self)
        early = bytes(self.reader.buffer)
        self.reader.buffer.clear()
        return sock, early

    # -- the end -------------------------------------------------------------------

    def _refuse(self, error: BadRequest) -> None:
        """Answer what is not a request. Nothing of the connection can be trusted after it."""
        _logger.info("A request from %s was refused: %s", name_of(self.client_address), error)
        sock = self.sock
        if sock is None:
            return
        head, begun = self._unseen or (bytes(self.reader.buffer[:_SHOWN]), None)
        self.server.owner.refused(error.status, self.client_address, head, begun)
        try:
            sock.settimeout(_LINGER)
            sock.sendall(last_answer(error.status))
            self._linger()
        except OSError:
            pass

    def _linger(self) -> None:
        """Send FIN, and let the client read the answer before the socket is closed.

        A socket that is closed with bytes unread sends RST, which takes the answer away
        from the client (RFC 9112 section 9.6).
        """
        sock = self.sock
        if sock is None:
            return
        self.busy = False
        sock.settimeout(_LINGER)
        sock.shutdown(1)
        room = _LINGERED
        with contextlib.suppress(gevent.Timeout), gevent.Timeout(_LINGER):
            while room > 0 and (data := sock.recv(64 * 1024)):
                room -= len(data)
