"""``environ["dualws.upgrade"]``: how a request leaves HTTP on gevent.

Law: *a connection has one owner*. The socket is detached from the handler before the
first byte of the 101 is sent, so whatever the application or the handler does afterwards
cannot reach it.
"""

from __future__ import annotations

import _socket
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from dualws.contract import ConnectionOwner, Runtime
from dualws_gevent.transport import Transport

if TYPE_CHECKING:
    from gevent.socket import socket as GeventSocket

    from dualws.tls.socket import TlsSocket
    from dualws.tls.transport import TlsTransport
    from dualws_gevent.handler import UpgradableWSGIHandler


class Upgrade:
    """Implements :class:`dualws.contract.Upgrade` for one request.

    :param handler: the connection's handler, inside the request
    """

    __slots__ = ("_after", "_handler", "_live", "_runtime")

    def __init__(self, handler: UpgradableWSGIHandler) -> None:
        self._handler: UpgradableWSGIHandler | None = handler
        self._runtime = handler.server.owner.gevent_runtime
        self._live = handler.server.owner.transports
        self._after: Callable[[], object] | None = None

    @property
    def runtime(self) -> Runtime:
        """The server's runtime."""
        return self._runtime

    def reserve(self) -> bool:
        """True: a greenlet always has a place."""
        return True

    claim = reserve

    def switch(self, head: bytes, owner: ConnectionOwner) -> Transport | TlsTransport:
        """Send *head*, a whole 101 response, and leave HTTP.

        :raises ConnectionError: the client has gone
        :raises RuntimeError: the response has begun, or the request is over
        """
        sock, early = self._leave_http(head[9 : head.index(b"\r\n")].decode("latin-1"))
        engine = getattr(sock, "engine", None)
        if engine is not None:
            return self._switch_tls(cast("TlsSocket", sock), head, owner, early)
        native = _native(sock)
        try:
            sent = native.send(head)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            native.close()
            raise ConnectionAbortedError("the client left during the handshake") from error
        transport = Transport(self._runtime, native, owner, early, self._live)
        if sent < len(head):
            transport.write(head[sent:])
        return transport

    def _switch_tls(
        self,
        tls: TlsSocket,
        head: bytes,
        owner: ConnectionOwner,
        early: bytes,
    ) -> TlsTransport:
        from dualws.tls.transport import TlsTransport

        sock, more = tls.release()
        early += more
        transport = TlsTransport(tls.engine, owner, self._runtime.lock(), early)
        transport.begin(Transport(self._runtime, _native(sock), transport, early, self._live))
        transport.write(head)
        return transport

    def take_socket(self) -> tuple[socket.socket, bytes]:
        """Leave HTTP without a byte sent: gevent's socket, and what came with the request.

        :raises RuntimeError: the response has begun, or the request is over
        """
        return self._leave_http("101 Switching Protocols")

    def _leave_http(self, status: str) -> tuple[GeventSocket, bytes]:
        handler, self._handler = self._handler, None
        if handler is None:
            raise RuntimeError("this request has left HTTP already, or is over")
        return handler.leave_http(status)

    def after(self, handler: Callable[[], object]) -> None:
        """Call *handler* once the WSGI cycle, ``close()`` included, is over.

        :raises RuntimeError: there is one already
        """
        if self._after is not None:
            raise RuntimeError("there is a handler to be called after this request already")
        self._after = handler

    def take_handler(self) -> Callable[[], object] | None:
        """What is to run after the WSGI cycle."""
        handler, self._after = self._after, None
        return handler

    def end(self) -> None:
        """The WSGI cycle is over: an application that kept this object can do no harm."""
        self._handler = None


def _native(sock: GeventSocket) -> socket.socket:
    """A native socket: gevent's would look for EAGAIN, and wait, where the hub must not."""
    family, kind, proto = sock.family, sock.type, sock.proto
    native = cast(socket.socket, _socket.socket(family, kind, proto, fileno=sock.detach()))
    native.setblocking(False)
    return native
