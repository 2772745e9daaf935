"""Leaving HTTP: ``environ["dualws.upgrade"]`` on Tornado.

Law: who takes the socket first has it: the worker thread, or the stream that closes. What the
loop still has to do (end Tornado's connection, watch the socket) comes before anything that the
transport asks of it, and nobody waits for it. TLS and raw sockets are handed over by the loop.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast

from dualws.contract import ConnectionOwner
from dualws_tornado.channel import Channel, ClientGone
from dualws_tornado.response import Response
from dualws_tornado.runtime import Runtime, Waiter
from dualws_tornado.transport import Transport
from dualws_tornado.workers import Workers

if TYPE_CHECKING:
    from dualws.tls.transport import TlsTransport
    from dualws_tornado.server import WebSocketServer, _Connection

log = logging.getLogger("dualws.server")

T = TypeVar("T")

#: Seconds after which a loop that does not answer counts as stopped.
_PATIENCE = 30.0


class Upgrade:
    """Implements :class:`dualws.contract.Upgrade`.

    :param server: the server
    :param channel: the way of this request's response
    :param response: falls silent when the connection leaves HTTP
    :param connection: the connection, which the server then counts elsewhere
    """

    def __init__(
        self,
        server: WebSocketServer,
        channel: Channel,
        response: Response,
        connection: _Connection,
    ) -> None:
        self._server = server
        self._connection: _Connection | None = connection
        self._workers: Workers = server.workers
        self._channel: Channel | None = channel
        self._response: Response | None = response
        #: a place of a blocking handler is taken
        self._claimed = False
        #: this thread is out of the HTTP budget
        self._promoted = False
        self._handler: Callable[[], object] | None = None

    @property
    def runtime(self) -> Runtime:
        """The server's runtime."""
        return self._server.runtime

    def reserve(self) -> bool:
        """Move this thread out of the HTTP budget; False when all places are taken."""
        if not self.claim():
            return False
        self._leave_budget()
        return True

    def claim(self) -> bool:
        """Take the place of the handler that :meth:`after` gets; False when all are taken."""
        if not self._claimed:
            self._claimed = self._workers.claim()
        return self._claimed

    def _leave_budget(self) -> None:
        if not self._promoted:
            self._promoted = True
            self._workers.leave()

    def after(self, handler: Callable[[], object]) -> None:
        """Call *handler* in this context once the WSGI cycle is over.

        :raises RuntimeError: there is one already
        """
        if self._handler is not None:
            raise RuntimeError("there is a handler to be called after this request already")
        self._handler = handler

    def switch(self, head: bytes, owner: ConnectionOwner) -> Transport | TlsTransport:
        """Send *head* and leave HTTP; the transport begins paused.

        :raises ConnectionError: the client has gone
        :raises RuntimeError: the response has begun, the request has left HTTP already, or is over
        """
        channel, connection = self._leave_http()
        transport: Transport | TlsTransport
        if connection.stream.engine is None:
            transport = self._take_over(channel, connection, owner)
        else:
            transport = self._in_loop(
                lambda: self._adopt(channel, connection, owner), lambda adopted: adopted.abort()
            )
        transport.write(head)
        return transport

    def take_socket(self) -> tuple[socket.socket, bytes]:
        """Leave HTTP without a byte sent: the socket, and what came with the request.

        :raises ConnectionError: the client has gone
        :raises RuntimeError: the response has begun, the request has left HTTP already, or is over
        """
        channel, connection = self._leave_http()
        return self._in_loop(
            lambda: self._take(channel, connection), lambda taken: taken[0].close()
        )

    def _leave_http(self) -> tuple[Channel, _Connection]:
        channel, self._channel = self._channel, None
        connection, self._connection = self._connection, None
        response, self._response = self._response, None
        if channel is None or connection is None or response is None:
            raise RuntimeError("this request has left HTTP already, or is over")
        if response.started:
            raise RuntimeError("the response has begun: it is too late to leave HTTP")
        # From here on there is no HTTP, not even an error page.
        response.left = True
        return channel, connection

    def _take_over(
        self, channel: Channel, connection: _Connection, owner: ConnectionOwner
    ) -> Transport:
        """The transport of a plain connection, made in this thread.

        The loop does its part later, before anything else that the transport asks of it: to wait
        for it would be two changes of threads.
        """
        try:
            sock = channel.claim()
        except ClientGone:
            channel.cut()  # it may be there yet, and takes nothing
            raise
        server = self._server
        transport = server.make_transport(sock, owner)

        def adopt() -> None:
            # Tornado notices later, and nobody is to be counted twice.
            server.http_connections.discard(connection)
            server.transports.add(transport)
            channel.leave()
            try:
                _, early = connection.stream.release(watched=True)
            except OSError as error:
                transport.lose(error)
            else:
                transport.begin(early)

        self.runtime.call_soon(adopt)
        if self.runtime.loop.is_closed():  # nobody does that any more
            sock.close()
            raise ClientGone("the server has stopped")
        return transport

    def _adopt(
        self, channel: Channel, connection: _Connection, owner: ConnectionOwner
    ) -> TlsTransport | Transport:
        sock, early = self._detach(channel, connection)
        return self._server.adopt(sock, owner, early, connection.stream.engine)

    def _take(self, channel: Channel, connection: _Connection) -> tuple[socket.socket, bytes]:
        sock, early = self._detach(channel, connection)
        engine = connection.stream.engine
        if engine is None:
            return sock, early
        from dualws.tls.socket import TlsSocket

        wrapped = TlsSocket(sock, engine, self.runtime.lock())
        # It has what is used of a socket, but is none.
        return cast("socket.socket", wrapped), early

    def _detach(self, channel: Channel, connection: _Connection) -> tuple[socket.socket, bytes]:
        taken = channel.detach().release()
        # Tornado notices later, and nobody is to be counted twice.
        self._server.http_connections.discard(connection)
        return taken

    def _in_loop(self, act: Callable[[], T], undo: Callable[[T], object]) -> T:
        """What *act* returns, which takes the connection out of HTTP in the loop's thread.

        :param undo: ends a connection that comes when nobody waits for it any more
        """
        waiter = Waiter()
        outcome: list[T | OSError] = []
        lock = threading.Lock()
        given_up = False

        def run() -> None:
            try:
                result = act()
            except OSError as error:
                outcome.append(error)
            else:
                with lock:
                    if not given_up:
                        outcome.append(result)
                        return
                undo(result)
            finally:
                waiter.wake()

        self.runtime.call_soon(run)
        waiter.wait(_PATIENCE)
        with lock:
            given_up = not outcome
        if given_up:
            raise ClientGone("the server has stopped")
        result = outcome.pop()
        if isinstance(result, OSError):
            raise ClientGone(str(result)) from result
        return result

    # -- for the request's handler --------------------------------------------------

    def take_handler(self) -> Callable[[], object] | None:
        """What is to run after the WSGI cycle."""
        handler, self._handler = self._handler, None
        return handler

    def finish(self, handler: Callable[[], object]) -> None:
        """Run *handler*: what blocks for long in a thread of its own, the rest in this one."""
        if not self._claimed:
            handler()
            return
        try:
            self._workers.move(handler)
        except RuntimeError:
            log.warning("cannot start another thread: a handler keeps that of its request")
            self._leave_budget()
            handler()
        else:
            self._claimed = False

    def give_back(self) -> None:
        """The request is done with this thread: it is an HTTP worker again."""
        self._channel = self._connection = self._response = None
        if self._claimed:
            self._claimed = False
            self._workers.unclaim()
        if self._promoted:
            self._promoted = False
            self._workers.come_back()
