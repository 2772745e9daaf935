"""The outermost WSGI middleware: environ in, a 101 or an ordinary response out.

Law: every request reaches the application. It may answer an upgrade request with an
ordinary response, which is then an ordinary answer; or accept the websocket, at once
(code that loops over ``environ["wsgi.websocket"]``) or by a 101 response (``@websocket``
views), whose handler runs after the application's whole stack has unwound; or let a library
take the raw socket. After that no byte of HTTP is written, whatever the application does.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING, Any

from dualws.contract import (
    ENVIRON_HANDSHAKE_ERROR,
    ENVIRON_RAW_SOCKET,
    ENVIRON_UPGRADE,
    ENVIRON_WEBSOCKET,
    Environ,
    StartResponse,
    WSGIApplication,
)
from dualws.database import release_connections
from dualws.errors import HandshakeError, WebSocketClosed
from dualws.faces import WebSocket
from dualws.failures import failed
from dualws.protocol.handshake import Handshake, examine, is_attempted
from dualws.raw_socket import NoOffer, RawSocketOffer

if TYPE_CHECKING:
    from dualws.contract import Server

logger = logging.getLogger("dualws.handler")

#: environ key by which a 101 response says what is to run: ``handler()``
ENVIRON_HANDLER = "dualws.handler"
#: environ key: whether that handler needs a thread or greenlet while it waits
ENVIRON_BLOCKING = "dualws.blocking"
#: environ key: the subprotocol that the 101 response chose
ENVIRON_SUBPROTOCOL = "dualws.subprotocol"
#: environ key: whether the view wants compression; None leaves it to the configuration
ENVIRON_COMPRESSION = "dualws.compression"

Headers = list[tuple[str, str]]


class _Response:
    """What the application said through ``start_response``, held back."""

    def __init__(self) -> None:
        self.status = ""
        self.headers: Headers = []
        self.exc_info: Any = None
        self.written: list[bytes] = []

    def start(
        self, status: str, headers: Headers, exc_info: Any = None
    ) -> Callable[[bytes], object]:
        if self.status and exc_info is None:
            raise AssertionError("start_response was called a second time without exc_info")
        self.status, self.headers, self.exc_info = status, headers, exc_info
        return self.written.append


class _Body:
    """The rest of an ordinary response, with the application's ``close``."""

    def __init__(self, chunks: Iterator[bytes], close: Callable[[], object]) -> None:
        self._chunks = chunks
        self.close = close

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks


class WebSocketMiddleware:
    """Gives upgrade requests their ``wsgi.websocket``.

    :param application: the WSGI application
    :param server: the server that runs it
    """

    def __init__(self, application: WSGIApplication, server: Server) -> None:
        self.application = application
        self._server = server

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if not is_attempted(environ):
            return self.application(environ, start_response)
        try:
            handshake = examine(environ)
            if ENVIRON_UPGRADE not in environ:
                raise HandshakeError("a request with a body cannot become a websocket")
        except HandshakeError as error:
            bad = error
        else:
            return self._offer(handshake, environ, start_response)
        environ[ENVIRON_HANDSHAKE_ERROR] = bad
        offer = environ[ENVIRON_RAW_SOCKET] = NoOffer(bad)
        try:
            return self.application(environ, start_response)
        except Exception:
            if offer.refusal is None:
                raise
        return _refuse(bad, start_response)

    def _offer(
        self, handshake: Handshake, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Run the application, which may accept in any of the ways."""
        websocket = _face()(environ, handshake, self._server)
        environ[ENVIRON_WEBSOCKET] = websocket
        # A backend may have no raw sockets to offer.
        take = getattr(environ[ENVIRON_UPGRADE], "take_socket", None)
        offer = None if take is None else RawSocketOffer(websocket, take)
        if offer is not None:
            environ[ENVIRON_RAW_SOCKET] = offer
        return self._run(websocket, offer, environ, start_response)

    def _run(
        self,
        websocket: WebSocket,
        offer: RawSocketOffer | None,
        environ: Environ,
        start_response: StartResponse,
    ) -> Iterable[bytes]:
        response = _Response()
        result: Iterable[bytes] = ()
        try:
            result = self.application(environ, response.start)
            # A generator runs its code only now, so it may accept only now.
            chunks = iter(result)
            first = next(chunks, b"")
        except Exception as error:
            _close(result)
            if websocket.accepted:
                return _failed_inside(websocket, error)
            if offer is not None and offer.taken:
                _taker_failed(websocket, error)
                release_connections()
                return ()
            if websocket.refusal is not None:
                return _refuse(websocket.refusal, start_response)
            raise
        except BaseException as error:
            _close(result)
            if websocket.accepted:
                return _failed_inside(websocket, error)
            raise
        if websocket.accepted:
            return self._accepted_inside(websocket, response, result)
        if offer is not None and offer.taken:
            return self._taken_inside(websocket, result)
        if websocket.refusal is not None:
            _close(result)
            return _refuse(websocket.refusal, start_response)
        if response.status.startswith("101"):
            _close(result)
            return _accept(websocket, environ, response, start_response)
        write = start_response(response.status, response.headers, response.exc_info)
        response.exc_info = None
        for data in response.written:
            write(data)
        return _Body(chain((first,), chunks), lambda: _close(result))

    @staticmethod
    def _accepted_inside(
        websocket: WebSocket, response: _Response, result: Iterable[bytes]
    ) -> Iterable[bytes]:
        """The application accepted and is done: what it answers goes nowhere."""
        try:
            try:
                for _ in result:
                    pass
            finally:
                _close(result)
                release_connections()
        except BaseException as error:
            failed(websocket.connection, error, websocket.path)
        # Django turned an exception of the view into this response, and logged it.
        if response.status.startswith("5"):
            websocket.close(1011, "the handler failed")
        else:
            websocket.close()
        websocket.let_go()
        return ()

    @staticmethod
    def _taken_inside(websocket: WebSocket, result: Iterable[bytes]) -> Iterable[bytes]:
        """The application took the socket and is done: what it answers goes nowhere."""
        try:
            for _ in result:
                pass
        except Exception as error:
            _taker_failed(websocket, error)
        finally:
            _close(result)
            release_connections()
        return ()


def _failed_inside(websocket: WebSocket, error: BaseException) -> Iterable[bytes]:
    """The application accepted and raised: there is nobody left to serve the websocket."""
    try:
        failed(websocket.connection, error, websocket.path)
    finally:
        # What was raised may be the end of another websocket, and no failure of this one.
        websocket.close()
        release_connections()
        websocket.let_go()
    return ()


def _face() -> type[WebSocket]:
    """What ``wsgi.websocket`` is: where gevent-websocket is used, as its code knows it."""
    if "geventwebsocket.exceptions" not in sys.modules:
        return WebSocket
    from dualws.gevent_websocket import GeventWebSocket

    return GeventWebSocket


def _accept(
    websocket: WebSocket, environ: Environ, response: _Response, start_response: StartResponse
) -> Iterable[bytes]:
    """Send the application's 101 response and leave its handler to the backend."""
    # Taken out: what a websocket's environ holds is there, and looked at by the collector, for as
    # long as the websocket is.
    handler = environ.pop(ENVIRON_HANDLER, None)
    if handler is None:
        raise RuntimeError(
            "the application answered 101 without a websocket handler: "
            "use dualws.websocket, or accept environ['wsgi.websocket']"
        )
    try:
        if environ.pop(ENVIRON_BLOCKING, True):
            websocket.reserve(after=True)
        subprotocol = environ.pop(ENVIRON_SUBPROTOCOL, None)
        compression = environ.pop(ENVIRON_COMPRESSION, None)
        environ.pop(ENVIRON_RAW_SOCKET, None)
        websocket.switch(subprotocol, response.headers, compression)
    except HandshakeError as error:
        return _refuse(error, start_response)
    except WebSocketClosed:
        logger.debug("the client left before its websocket was accepted: %s", websocket.path)
        return ()
    websocket.after_request(handler)
    return ()


def _refuse(error: HandshakeError, start_response: StartResponse) -> Iterable[bytes]:
    body = f"{error.reason}\n".encode()
    start_response(
        f"{error.status} {HTTPStatus(error.status).phrase}",
        [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            *error.headers,
        ],
    )
    return (body,)


def _taker_failed(websocket: WebSocket, error: Exception) -> None:
    """The application raised after it took the socket, which ends with its call anyway."""
    if isinstance(error, OSError | WebSocketClosed):
        logger.debug("%s: the client has gone: %s", websocket.path, error)
    elif isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("eventlet"):
        # flask-sock believes that eventlet serves it, and asks that for an empty response.
        logger.debug("%s: the response was asked of eventlet: %s", websocket.path, error)
    else:
        logger.error("websocket handler failed: %s", websocket.path, exc_info=error)


def _close(result: Iterable[bytes]) -> None:
    close = getattr(result, "close", None)
    if close is not None:
        close()
