"""The gevent server: a pywsgi listener for each socket, a greenlet for each connection.

Law: *a parked websocket costs its greenlet and nothing beneath it*. A connection's
greenlet runs :func:`serve_connection` directly; by the time a websocket's handler runs,
the HTTP handler, its buffers and its frames are gone.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import gevent
from gevent import pywsgi
from gevent.hub import GreenletExit
from greenlet import getcurrent

from dualws.contract import Backend, Server, ServerConfig, WSGIApplication
from dualws.kept import Kept
from dualws.limits.refusals import MOST_REFUSED, TOO_MANY, too_many
from dualws.serving.listen import ACCEPT_PAUSE, BACKLOG, EXHAUSTED
from dualws.serving.share import PAUSE
from dualws_gevent.handler import UpgradableWSGIHandler
from dualws_gevent.runtime import Runtime, run_logged
from dualws_gevent.transport import Transport

if TYPE_CHECKING:
    from gevent.socket import socket as GeventSocket

    from dualws.serving.greeting import Link

__all__ = ["Listener", "UpgradableWSGIHandler", "WebSocketServer"]

_logger = logging.getLogger("dualws.server")

#: Seconds that a connection which is one too many gets to read that.
_REFUSAL = 1.0
#: Seconds that requests in progress get when the server stops.
_GRACE = 1.0


class Listener(pywsgi.WSGIServer):
    """Accepts the connections of one listening socket.

    :param owner: the server
    :param sock: the listening socket
    """

    handler_class = UpgradableWSGIHandler

    def __init__(self, owner: WebSocketServer, sock: socket.socket) -> None:
        self.owner = owner
        super().__init__(sock, owner.application, log=None, error_log=None)
        # The address that clients reach is each connection's own only behind a wildcard.
        self._wildcard = sock.family != socket.AF_UNIX and sock.getsockname()[0] in (
            "0.0.0.0",
            "::",
        )
        self._local: Any = sock.getsockname()

    def accept_waiting(self) -> None:
        """Accept the connections that the kernel has for this socket, until there are no more."""
        for _ in range(BACKLOG):
            accepted = self.do_read()
            if accepted is None:
                return
            self.do_handle(*accepted)

    def update_environ(self) -> None:
        """Nothing: environs are made by the core, and pywsgi's would ask the name server."""

    def full(self) -> bool:
        """Whether the next connection is another process's: look away for a moment."""
        share = self.owner.share
        if share is None or share.may_accept(self.owner.open_connections()):
            return False
        self.owner.runtime.call_later(PAUSE, self._look_again)
        return True

    def _look_again(self) -> None:
        if hasattr(self, "socket"):
            self.start_accepting()

    def do_read(self) -> tuple[GeventSocket, Any] | None:  # type: ignore[override]  # so is theirs
        """The next connection; None when there is none, or nothing to hold it with."""
        try:
            accepted: tuple[GeventSocket, Any] | None = super().do_read()
        except ConnectionAbortedError:
            return None
        except OSError as error:
            if error.errno not in EXHAUSTED:
                raise
            _logger.error(
                "cannot accept a connection: %s; raise the limit of open files", error.strerror
            )
            # The listener stays readable: without a pause the hub would spin.
            self.stop_accepting()
            self.owner.runtime.call_later(ACCEPT_PAUSE, self._look_again)
            return None
        return accepted

    def do_handle(self, *args: Any) -> None:
        """Give a new connection a greenlet."""
        self.owner.accepted += 1
        gevent.spawn_raw(serve_connection, self, *args)

    def local_address(self, sock: GeventSocket) -> tuple[str, int] | str:
        """The address that the client connected to."""
        local: tuple[str, int] | str = sock.getsockname() if self._wildcard else self._local
        return local


def serve_connection(listener: Listener, sock: GeventSocket, address: Any) -> None:
    """A connection's greenlet, until it ends or leaves HTTP; its websocket's handler follows."""
    try:
        after = _serve_http(listener, sock, address)
        # A frame that waits for a websocket's life must not hold its HTTP connection.
        del listener, sock, address
        if after is not None:
            # In a greenlet of its own: this one's stack has grown deep, and would stay so.
            gevent.spawn_raw(run_logged, after).gr_context = getcurrent().gr_context
    except GreenletExit:
        pass
    except Exception:
        _logger.exception("A connection ended with an exception")


def _serve_http(
    listener: Listener, sock: GeventSocket, address: Any
) -> Callable[[], object] | None:
    owner = listener.owner
    owner.accepted -= 1
    most = owner.config.max_connections
    if most and owner.open_connections() >= most:
        _refuse(owner, sock, address)
        return None
    link = None
    if owner.greeter is not None:
        greeted = owner.greet(listener, sock, address)
        if greeted is None:
            return None
        sock, link = greeted
        address = link.peer
    handler = UpgradableWSGIHandler(sock, address, listener)
    handler.link = link
    owner.handlers.add(handler)
    try:
        return handler.serve()
    finally:
        owner.left_http(handler)


def _refuse(owner: WebSocketServer, sock: GeventSocket, address: Any) -> None:
    """Answer a connection that is one too many, and let the client read that."""
    try:
        # Plain text is no answer to who begins with TLS.
        if owner.refusing < MOST_REFUSED and owner.certificates is None:
            owner.refusing += 1
            try:
                owner.refused(TOO_MANY[0], address, text=TOO_MANY[1])
                with contextlib.suppress(OSError, gevent.Timeout), gevent.Timeout(_REFUSAL):
                    sock.sendall(too_many(owner.config.max_connections))
                    sock.shutdown(socket.SHUT_WR)
                    while sock.recv(64 * 1024):
                        pass
            finally:
                owner.refusing -= 1
    finally:
        sock.close()


class WebSocketServer(Server):
    """Implements :class:`dualws.contract.Server` on gevent."""

    greets = True

    def __init__(
        self,
        backend: Backend,
        application: WSGIApplication,
        config: ServerConfig,
        sockets: Sequence[socket.socket],
    ) -> None:
        super().__init__(backend, application, config, sockets)
        self.gevent_runtime = Runtime()
        #: database connections that no request holds
        self.kept = Kept(self.gevent_runtime)
        #: connections that speak HTTP
        self.handlers: set[UpgradableWSGIHandler] = set()
        #: connections whose greenlet has not begun
        self.accepted = 0
        #: connections that have left HTTP
        self.transports: set[Transport] = set()
        #: greenlets of connections that are being greeted
        self._greeting: set[Any] = set()
        #: connections that are being told that there are too many
        self.refusing = 0
        #: no further request is read
        self.stopping = False
        self._listeners: list[Listener] = []
        self._stopped = self.gevent_runtime.waiter()
        self._idle = self.gevent_runtime.waiter()

    @property
    def runtime(self) -> Runtime:
        """How code waits and starts in this server."""
        return self.gevent_runtime

    def figures(self) -> dict[str, float]:
        """What only this backend can count."""
        handlers = tuple(self.handlers)
        return {
            "dualws_http_connections": len(handlers),
            "dualws_http_requests_active": sum(handler.busy for handler in handlers),
            "dualws_http_requests_queued": 0,
        }

    def run(self, *, stop_signals: Sequence[int] = (), drain_signals: Sequence[int] = ()) -> None:
        """Serve until :meth:`stop`; blocks.

        :param stop_signals: signals that stop the server; needs the main thread
        :param drain_signals: signals that make it :meth:`drain`
        """
        watchers = [gevent.signal_handler(number, self.stop) for number in stop_signals]
        watchers += [gevent.signal_handler(number, self.drain) for number in drain_signals]
        try:
            for sock in self.sockets:
                sock.setblocking(False)
                if sock.family != socket.AF_UNIX:
                    # Accepted sockets inherit it: without, a small answer waits for the ACK of
                    # the one before.
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                listener = Listener(self, sock)
                self._listeners.append(listener)
                listener.start()
            self.opened()
            try:
                self._stopped.wait()
            finally:
                self.stopping = True
                self._close_listeners()
                self._finish()
        finally:
            for watcher in watchers:
                watcher.cancel()
            # Also where opened() has failed: the hub must not look at sockets that are closed.
            self._close_listeners()
            for sock in self.sockets:
                sock.close()

    def stop(self) -> None:
        """Make :meth:`run` end; from any thread and from signal handlers, more than once."""
        # Never directly: a signal may have come in the midst of one of the hub's callbacks.
        self.gevent_runtime.loop.run_callback_threadsafe(self._stopped.wake)

    def stop_accepting(self) -> None:
        """Accept what waits in the listening sockets, then close those; in the hub."""
        for listener in self._listeners:
            try:
                listener.accept_waiting()
            except OSError:
                _logger.exception("Connections that wait cannot be accepted")
        self._close_listeners()

    def _close_listeners(self) -> None:
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.close()

    def http_connections_left(self) -> tuple[int, int]:
        """Connections inside an HTTP request, and those between requests."""
        busy = sum(handler.busy or bool(handler.reader.buffer) for handler in self.handlers)
        idle = len(self.handlers) - busy + len(self._greeting)
        # Those that wait for their greenlet, one turn of the hub, may have sent a request already.
        return busy + self.accepted, idle

    def open_connections(self) -> int:
        """How many of the connections that were accepted are not closed."""
        http = self.accepted + len(self._greeting) + len(self.handlers)
        return http + len(self.transports) + len(self.raw_sockets)

    def _finish(self) -> None:
        """End the connections: idle ones at once, websockets as the core does, requests soon."""
        for greenlet in list(self._greeting):
            gevent.kill(greenlet)
        for handler in list(self.handlers):
            if not handler.busy:
                gevent.kill(handler.greenlet)
        begun = time.monotonic()
        # Without a timeout: it has its own, and much to do when that is over.
        self.closing()
        left = max(0.0, begun + _GRACE - time.monotonic())
        with contextlib.suppress(gevent.Timeout), gevent.Timeout(left):
            while self.handlers:
                self._idle.wait()
        for handler in list(self.handlers):
            gevent.kill(handler.greenlet)
        for transport in list(self.transports):
            transport.abort()
        # Let what was killed run its finally clauses, and the owners hear of their loss.
        gevent.sleep(0)
        self.kept.close()

    def give_way(self) -> None:
        """Let others have a turn; in the greenlet that has sent so much."""
        self.gevent_runtime.give_way()

    def greet(
        self, listener: Listener, sock: GeventSocket, peer: Any
    ) -> tuple[GeventSocket, Link] | None:
        """Greet a new connection in its greenlet, which may be killed meanwhile."""
        from dualws_gevent.greet import greet

        assert self.greeter is not None
        current = gevent.getcurrent()
        self._greeting.add(current)
        try:
            return greet(self.greeter, listener, sock, peer)
        finally:
            self._greeting.discard(current)

    def left_http(self, handler: UpgradableWSGIHandler) -> None:
        """The connection is closed, or has left HTTP."""
        self.handlers.discard(handler)
        if self.stopping:
            self._idle.wake()
