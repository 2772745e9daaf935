"""The server: accepts in the main thread, speaks HTTP in a thread for each connection.

Law: a connection has one owner. Its thread owns it while it speaks HTTP; with ``switch`` the
socket goes to a transport on the loop, and the thread only runs the application's code.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

from dualws.contract import (
    ENVIRON_UPGRADE,
    Backend,
    ConnectionOwner,
    Server,
    ServerConfig,
    WSGIApplication,
)
from dualws.serving.environ import make_environ
from dualws_threaded.request import BadRequest, Reader, Request, read_body, read_head
from dualws_threaded.response import Response
from dualws_threaded.runtime import Runtime
from dualws_threaded.transport import Transport

log = logging.getLogger("dualws.server")

#: Seconds that a client may be silent where it has to send or to read.
SILENCE = 60.0
#: Seconds that requests in progress get when the server stops.
GRACE = 1.0
#: Seconds, and bytes, that a refused client gets to read the refusal.
LINGER, LINGERED = 2.0, 4 << 20


class Upgrade:
    """Implements :class:`dualws.contract.Upgrade` for one request."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._switched = False
        self.reserved = False
        self.handler: Callable[[], object] | None = None

    @property
    def runtime(self) -> Runtime:
        """The server's runtime."""
        return self._exchange.server.runtime

    def reserve(self) -> bool:
        """Move this thread from the budget of requests to that of handlers."""
        if not self.reserved and self._exchange.server.handlers.acquire(blocking=False):
            self.reserved = True
            self._exchange.server.requests.release()
        return self.reserved

    def switch(self, head: bytes, owner: ConnectionOwner) -> Transport:
        """Send *head* and leave HTTP.

        :raises ConnectionError: the client has gone
        :raises RuntimeError: the response has begun, or this is the second call
        """
        exchange = self._exchange
        if self._switched or exchange.response is None or exchange.response.begun:
            raise RuntimeError("it is too late to leave HTTP: the response has begun")
        self._switched = exchange.response.left = True
        exchange.response.status = "101 Switching Protocols"
        early = bytes(exchange.reader.buffer)
        exchange.server.left_http(exchange)
        exchange.sock.setblocking(False)
        transport = Transport(self.runtime, exchange.sock, owner, early)
        exchange.owned = False
        transport.write(head)
        return transport

    def after(self, handler: Callable[[], object]) -> None:
        """Call *handler* once the WSGI cycle is over."""
        self.handler = handler


class Exchange:
    """One connection for as long as it speaks HTTP; runs in a thread of its own."""

    def __init__(self, server: ThreadedServer, sock: socket.socket, peer: Any) -> None:
        self.server = server
        self.sock = sock
        self.peer = peer
        self.reader = Reader(sock)
        self.owned = True
        #: a request is in progress
        self.response: Response | None = None

    def run(self) -> None:
        """Serve requests until the connection ends or leaves HTTP."""
        try:
            while self._request():
                pass
        except BadRequest as error:
            log.info("a request from %s was refused: %s", self.peer, error)
            with contextlib.suppress(OSError):
                self._refuse(error.status)
        except OSError:
            pass  # the client has gone
        except Exception:
            log.exception("unexpected error in a connection")
        finally:
            self.server.left_http(self)
            if self.owned:
                self.sock.close()

    def _request(self) -> bool:
        """Serve a request; whether another one may follow."""
        server = self.server
        request = read_head(self.reader, server.config.max_header_size)
        if request is None:
            return False
        begun = time.monotonic()
        if request.expects_continue and (request.chunked or request.length):
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body, length = read_body(self.reader, request, server.config.spool_size)
        self.response = Response(self.sock, request, lambda: server.stopping)
        try:
            environ = make_environ(
                method=request.method,
                target=request.target,
                version=request.version,
                headers=request.fields,
                server=server,
                local=self.sock.getsockname()[:2],
                peer=self.peer[:2],
                scheme="http",
                input=body,
                content_length=length,
                multithread=True,
            )
        except ValueError as error:
            body.close()
            raise BadRequest(str(error)) from error
        upgrade = Upgrade(self) if request.upgrade and not length else None
        if upgrade is not None:
            environ[ENVIRON_UPGRADE] = upgrade
        # Nothing of one request may reach the next one's context.
        context = contextvars.Context()
        server.requests.acquire()
        try:
            with body:
                context.run(self._cycle, environ, self.response, request)
            if upgrade is not None and upgrade.handler is not None:
                context.run(upgrade.handler)
        finally:
            reserved = upgrade is not None and upgrade.reserved
            (server.handlers if reserved else server.requests).release()
        response, self.response = self.response, None
        if server.seeing is not None:
            status = response.status or "499 Client Closed Request"
            server.seeing.request_done(environ, status, response.length, begun)
        if not self.owned or not response.keep_alive or server.stopping:
            if self.owned and self.reader.buffer:
                self._linger()
            return False
        return True

    def _cycle(self, environ: dict[str, Any], response: Response, request: Request) -> None:
        """The whole WSGI cycle, ``close()`` included."""
        result = None
        try:
            try:
                result = self.server.application(environ, response.start_response)
                response.send(result)
            finally:
                close = getattr(result, "close", None)
                if close is not None:
                    close()
        except OSError as error:
            response.keep_alive = False
            if not isinstance(error, (ConnectionError, TimeoutError)):
                self._failed(request, response)
        except Exception:
            self._failed(request, response)

    def _failed(self, request: Request, response: Response) -> None:
        log.exception("the application failed: %s %s", request.method, request.target)
        with contextlib.suppress(OSError):
            response.fail("500 Internal Server Error")

    def _refuse(self, status: HTTPStatus) -> None:
        line = f"{status.value} {status.phrase}"
        self.sock.sendall(
            f"HTTP/1.1 {line}\r\nContent-Type: text/plain\r\nContent-Length: {len(line) + 1}\r\n"
            f"Connection: close\r\n\r\n{line}\n".encode()
        )
        self._linger()

    def _linger(self) -> None:
        """Let the client read: closing with bytes unread would send RST (RFC 9112 9.6)."""
        self.sock.shutdown(socket.SHUT_WR)
        self.sock.settimeout(LINGER)
        room = LINGERED
        while room > 0 and (data := self.sock.recv(65536)):
            room -= len(data)


class ThreadedServer(Server):
    """Implements :class:`dualws.contract.Server` on threads."""

    def __init__(
        self,
        backend: Backend,
        application: WSGIApplication,
        config: ServerConfig,
        sockets: Sequence[socket.socket],
    ) -> None:
        super().__init__(backend, application, config, sockets)
        self._runtime = Runtime()
        #: places of requests, and of blocking websocket handlers
        self.requests = threading.BoundedSemaphore(config.threads)
        self.handlers = threading.BoundedSemaphore(config.max_blocking_handlers)
        self.stopping = False
        self._exchanges: set[Exchange] = set()
        self._changed = threading.Condition()
        self._ears, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)

    @property
    def runtime(self) -> Runtime:
        """How code waits and starts in this server."""
        return self._runtime

    def run(self, *, stop_signals: Sequence[int] = (), drain_signals: Sequence[int] = ()) -> None:
        """Serve until :meth:`stop`; blocks.

        :param stop_signals: signals that stop the server; needs the main thread
        :param drain_signals: none as long as it cannot drain (``stop_accepting``); the same
        """
        signals = (*stop_signals, *drain_signals)
        before = {number: signal.signal(number, self._on_signal) for number in signals}
        self._runtime.loop.start()
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._ears, selectors.EVENT_READ)
                for sock in self.sockets:
                    sock.setblocking(False)
                    selector.register(sock, selectors.EVENT_READ)
                self.opened()
                while self._ears not in (ready := [key.fileobj for key, _ in selector.select()]):
                    for sock in self.sockets:
                        if sock in ready:
                            self._accept(sock)
        finally:
            self.stopping = True
            for sock in self.sockets:
                sock.close()
            self._finish()
            self._runtime.loop.stop()
            for number, handler in before.items():
                signal.signal(number, handler)

    def stop(self) -> None:
        """Make :meth:`run` end; from any thread and from signal handlers, more than once."""
        with contextlib.suppress(BlockingIOError):
            self._mouth.send(b"\0")

    def _on_signal(self, number: int, frame: object) -> None:
        self.stop()

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, peer = listener.accept()
        except OSError:
            return  # the client has gone, or there is no descriptor left: it waits in the backlog
        sock.settimeout(SILENCE)
        if sock.family != getattr(socket, "AF_UNIX", None):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        exchange = Exchange(self, sock, peer)
        with self._changed:
            self._exchanges.add(exchange)
        self._runtime.spawn(exchange.run)

    def left_http(self, exchange: Exchange) -> None:
        """The connection is over, or is a websocket."""
        with self._changed:
            self._exchanges.discard(exchange)
            self._changed.notify_all()

    def _finish(self) -> None:
        """End idle connections, say goodbye to websockets, wait for requests in progress."""
        self._shut(idle_only=True)
        self.closing()
        with self._changed:
            self._changed.wait_for(lambda: not self._exchanges, GRACE)
        self._shut(idle_only=False)

    def _shut(self, *, idle_only: bool) -> None:
        with self._changed:
            for exchange in self._exchanges:
                if not idle_only or exchange.response is None:
                    with contextlib.suppress(OSError):
                        exchange.sock.shutdown(socket.SHUT_RDWR)
