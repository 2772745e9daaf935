"""The server: accepts connections, lets Tornado parse them, runs the application in threads.

Law: everything here happens in the loop's thread, except :meth:`UpgradableWSGIHandler.run`
(a worker thread), :meth:`WebSocketServer.make_transport` and :meth:`WebSocketServer.stop` (any).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tornado.http1connection import (
    HTTP1Connection,
    HTTP1ConnectionParameters,
    HTTP1ServerConnection,
)
from tornado.httputil import HTTPConnection, HTTPMessageDelegate, HTTPServerConnectionDelegate
from tornado.platform.asyncio import AsyncIOLoop

from dualws.contract import Backend, ConnectionOwner, Server, ServerConfig, WSGIApplication
from dualws.limits.refusals import MOST_REFUSED, TOO_MANY, too_many
from dualws.loops import run_to_end
from dualws.serving.last_answer import last_answer
from dualws.serving.listen import ACCEPT_PAUSE, BACKLOG, EXHAUSTED, name_of
from dualws.serving.share import PAUSE
from dualws_tornado.handler import Address, UpgradableWSGIHandler
from dualws_tornado.loop import new_event_loop
from dualws_tornado.runtime import Runtime
from dualws_tornado.stream import Stream
from dualws_tornado.tls import make_stream
from dualws_tornado.transport import Refusal, Transport
from dualws_tornado.workers import Workers

if TYPE_CHECKING:
    from dualws.serving.greeting import Link
    from dualws.tls.engine import Engine
    from dualws.tls.transport import TlsTransport

__all__ = ["UpgradableWSGIHandler", "WebSocketServer"]

log = logging.getLogger("dualws.server")

#: Seconds that HTTP requests in progress get when the server stops.
GRACE = 1.0
#: Seconds between two looks whether all connections have ended.
_MOMENT = 0.005
#: Connections that are accepted before the others get a turn.
_ACCEPTS = 64
#: Tornado is told of no limit of bodies: its answer would be 400 where 413 is meant.
_UNLIMITED = 1 << 62
#: Seconds between two looks for clients whose time is over, at most.
_SWEEP = 5.0


class _Connection(HTTPServerConnectionDelegate):
    """One accepted connection, for as long as it speaks HTTP."""

    def __init__(self, server: WebSocketServer, stream: Stream, local: Address, peer: Address):
        self.server = server
        self.stream = stream
        self.local = local
        self.peer = peer
        #: a request has come, its answer is not complete
        self.busy = False
        #: what the connection's greeting told; None without one
        self.link: Link | None = None

    def __str__(self) -> str:
        return name_of(self.peer)

    def start_request(
        self, server_conn: object, request_conn: HTTPConnection
    ) -> HTTPMessageDelegate:
        assert isinstance(request_conn, HTTP1Connection)
        return UpgradableWSGIHandler(self.server, self, request_conn)

    def on_close(self, server_conn: object) -> None:
        self.server.http_connections.discard(self)


class WebSocketServer(Server):
    """Implements :class:`dualws.contract.Server` on Tornado.

    :param backend: the backend that made it
    :param application: the WSGI application
    :param config: its configuration
    :param sockets: bound and listening sockets; owned from now on
    """

    greets = True

    def __init__(
        self,
        backend: Backend,
        application: WSGIApplication,
        config: ServerConfig,
        sockets: Sequence[socket.socket],
    ) -> None:
        super().__init__(backend, application, config, sockets)
        self._runtime = Runtime(config.threads)
        self.workers = Workers(config.threads, config.max_blocking_handlers, "dualws-worker")
        #: connections that speak HTTP
        self.http_connections: set[_Connection] = set()
        #: requests whose response is not complete
        self.active: set[UpgradableWSGIHandler] = set()
        #: connections that have left HTTP
        self.transports: set[Transport] = set()
        #: one for all of them
        self._discard_transport = self.transports.discard
        self._greetings: set[asyncio.Task[None]] = set()
        #: connections that get a last answer
        self._refused: set[Transport] = set()
        self._parameters = HTTP1ConnectionParameters(
            max_header_size=config.max_header_size, max_body_size=_UNLIMITED
        )
        self._stopped = threading.Event()
        self._stopping: Callable[[], object] | None = None
        self._finished: asyncio.Event | None = None

    @property
    def runtime(self) -> Runtime:
        """How code waits and starts in this server."""
        return self._runtime

    def figures(self) -> dict[str, float]:
        """What only this backend can count."""
        return {
            "dualws_http_connections": len(self.http_connections),
            "dualws_http_requests_active": len(self.active),
            "dualws_http_requests_queued": self.workers.queued,
        }

    def run(self, *, stop_signals: Sequence[int] = (), drain_signals: Sequence[int] = ()) -> None:
        """Serve until :meth:`stop`; signals only have an effect in the main thread."""
        loop = new_event_loop()
        # Tornado's view of the loop: made here, so that it can be closed here.
        io_loop = AsyncIOLoop(asyncio_loop=loop, make_current=False)
        try:
            run_to_end(loop, self._serve(stop_signals, drain_signals))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            io_loop.close()

    @property
    def stopping(self) -> bool:
        """Whether :meth:`stop` was called: no further request is read."""
        return self._stopped.is_set()

    def is_ending(self) -> bool:
        """Whether an answer must be the last one of its connection."""
        return self.draining or self._stopped.is_set()

    def stop(self) -> None:
        """Make :meth:`run` end; from any thread and from signal handlers, more than once."""
        self._stopped.set()
        if self._stopping is not None:
            self._stopping()

    # -- the server's life -----------------------------------------------------------

    async def _serve(self, stop_signals: Sequence[int], drain_signals: Sequence[int]) -> None:
        loop = asyncio.get_running_loop()
        self._runtime.begin()
        stopping = asyncio.Event()
        self._stopping = lambda: self._runtime.call_soon(stopping.set)
        signals: list[int] = []
        if threading.current_thread() is threading.main_thread():
            for number in stop_signals:
                loop.add_signal_handler(number, self.stop)
            for number in drain_signals:
                loop.add_signal_handler(number, self.drain)
            signals += (*stop_signals, *drain_signals)
        try:
            for sock in self.sockets:
                sock.setblocking(False)
                if sock.family != getattr(socket, "AF_UNIX", None):
                    # Accepted sockets inherit it.
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                loop.add_reader(sock.fileno(), self._accept, sock)
            self.opened()
            sweeper = loop.create_task(self._sweep())
            if self._stopped.is_set():
                stopping.set()
            await stopping.wait()
            sweeper.cancel()
        finally:
            self._close_listeners()
        await self._end()
        for number in signals:
            loop.remove_signal_handler(number)

    def stop_accepting(self) -> None:
        """Accept what waits in the listening sockets, then close those; in the loop's thread."""
        self.share = None
        for sock in self.sockets:
            for _ in range(BACKLOG // _ACCEPTS):
                # Closed: the server could not start, or ends already.
                if sock.fileno() < 0 or not self._accept(sock):
                    break
        self._close_listeners()

    def _close_listeners(self) -> None:
        for sock in self.sockets:
            if sock.fileno() >= 0:
                self._runtime.loop.remove_reader(sock.fileno())
                sock.close()

    def http_connections_left(self) -> tuple[int, int]:
        """Connections inside an HTTP request, and those between requests."""
        busy = sum(connection.busy for connection in self.http_connections)
        return busy, len(self.http_connections) - busy + len(self._greetings)

    def open_connections(self) -> int:
        """How many of the connections that were accepted are not closed."""
        http = len(self._greetings) + len(self.http_connections)
        return http + len(self.transports) + len(self.raw_sockets)

    async def _end(self) -> None:
        """Let requests and websockets come to their end, then close what is left."""
        self._finished = asyncio.Event()
        for connection in tuple(self.http_connections):
            # Idle ones have nothing to wait for.
            if not connection.stream.answering:
                connection.stream.close()
        goodbye = asyncio.Event()

        def closing() -> None:
            try:
                self.closing()
            except Exception:
                log.exception("unexpected error while the websockets were closed")
            finally:
                self._runtime.call_soon(goodbye.set)

        # It blocks until the peers have answered, which the loop must hear.
        threading.Thread(target=closing, name="dualws-closing", daemon=True).start()
        if self.active:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._finished.wait(), GRACE)
        await goodbye.wait()
        for connection in tuple(self.http_connections):
            connection.stream.close()
        for transport in (*self.transports, *self._refused):
            transport.abort()
        # A thread that reads its socket hands it back first.
        late = time.monotonic() + GRACE
        while self.transports and time.monotonic() < late:
            await asyncio.sleep(_MOMENT)
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        # Those of closed connections end by themselves within a turn.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=GRACE)

    def request_over(self, handler: UpgradableWSGIHandler) -> None:
        """The response of *handler* is complete, or its client has gone."""
        self.active.discard(handler)
        handler.connection.busy = False
        if self._finished is not None:
            # The client must not start another one.
            handler.connection.stream.close()
            if not self.active:
                self._finished.set()

    async def _sweep(self) -> None:
        """Close the connections of clients whose time is over: too slow, or idle for too long."""
        config = self.config
        times = (
            config.header_timeout,
            config.body_timeout,
            config.http_idle_timeout,
            config.response_timeout,
        )
        period = min([time / 5 for time in times if time] or [_SWEEP])
        while True:
            await asyncio.sleep(min(period, _SWEEP))
            now = time.monotonic()
            for connection in tuple(self.http_connections):
                try:
                    if complaint := connection.stream.look(now):
                        log.info("the response to %s is cut: %s", connection, complaint)
                except Exception:
                    # The others' time passes, whatever became of this one.
                    log.exception("unexpected error in an HTTP connection, which is closed")
                    connection.stream.close()

    # -- connections ------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> bool:
        """Accept connections; whether there may be more."""
        share = self.share
        for _ in range(_ACCEPTS):
            if share is not None and not share.may_accept(self.open_connections()):
                self._pause(listener, PAUSE)
                return False
            try:
                sock, peer = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return False
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                log.error(
                    "cannot accept a connection: %s; raise the limit of open files", error.strerror
                )
                # The listener stays readable: without a pause the loop would spin.
                self._pause(listener, ACCEPT_PAUSE)
                return False
            most = self.config.max_connections
            if most and self.open_connections() >= most:
                self._turn_away(sock, peer, most)
            elif self.greeter is None:
                self._serve_http(sock, peer)
            else:
                self._greet(sock, peer)
        return True

    def _pause(self, listener: socket.socket, seconds: float) -> None:
        """Look away from a listening socket for a while."""
        loop = self._runtime.loop
        loop.remove_reader(listener.fileno())
        loop.call_later(seconds, self._accept_again, listener)

    def _greet(self, sock: socket.socket, peer: Address) -> None:
        from dualws_tornado.greet import greet

        assert self.greeter is not None
        sock.setblocking(False)
        serve = functools.partial(self._serve_http, sock)
        task = self._runtime.loop.create_task(greet(self.greeter, sock, peer, serve))
        self._greetings.add(task)
        task.add_done_callback(self._greetings.discard)

    def _accept_again(self, listener: socket.socket) -> None:
        if listener.fileno() >= 0:
            self._runtime.loop.add_reader(listener.fileno(), self._accept, listener)

    def _serve_http(self, sock: socket.socket, peer: Address, link: Link | None = None) -> None:
        if link is None:
            stream = Stream(sock, self.config, self._refuse)
            connection = _Connection(self, stream, sock.getsockname(), peer)
        else:
            stream = make_stream(sock, self.config, self._refuse, link.engine)
            connection = _Connection(self, stream, link.local, link.peer)
            connection.link = link
        stream.peer = connection.peer
        self.http_connections.add(connection)
        HTTP1ServerConnection(stream, self._parameters, connection).start_serving(connection)

    def make_transport(
        self, sock: socket.socket, owner: ConnectionOwner, early: bytes | None = None
    ) -> Transport:
        """A transport that the loop is to count, and to begin without *early*; from any thread."""
        return Transport(self._runtime, sock, owner, early, self._discard_transport)

    def adopt(
        self,
        sock: socket.socket,
        owner: ConnectionOwner,
        early: bytes,
        engine: Engine | None = None,
    ) -> Transport | TlsTransport:
        """The transport of a connection that has left HTTP; in the loop's thread."""
        if engine is not None:
            return self._adopt_tls(sock, owner, early, engine)
        transport = self.make_transport(sock, owner, early)
        self.transports.add(transport)
        return transport

    def _adopt_tls(
        self, sock: socket.socket, owner: ConnectionOwner, early: bytes, engine: Engine
    ) -> TlsTransport:
        from dualws.tls.transport import TlsTransport

        outer = TlsTransport(engine, owner, self._runtime.lock(), early)
        transport = self.make_transport(sock, outer, early)
        self.transports.add(transport)
        outer.begin(transport)
        return outer

    def _refuse(self, stream: Stream, sock: socket.socket, status: str) -> None:
        """Answer the request of *stream* with *status* on *sock*, a descriptor of its own."""
        self.refused(status, stream.peer, *stream.unseen)
        answer, engine = last_answer(status), stream.engine
        refusal = Refusal()
        transport = self.adopt(sock, refusal, b"", engine)
        refusal.begin(self._runtime, transport, answer)

    def _turn_away(self, sock: socket.socket, peer: Address, limit: int) -> None:
        """Answer a connection that is one too many."""
        # Plain text is no answer to who begins with TLS.
        if len(self._refused) >= MOST_REFUSED or self.certificates is not None:
            sock.close()
            return
        sock.setblocking(False)
        refusal = Refusal()
        transport = Transport(self._runtime, sock, refusal, b"", self._refused.discard)
        self._refused.add(transport)
        self.refused(TOO_MANY[0], peer, text=TOO_MANY[1])
        refusal.begin(self._runtime, transport, too_many(limit))
