"""The connection's own socket, for websocket libraries that speak to it themselves.

Law: *offered to every valid handshake, taken by the first who asks*. Until then the request is
an ordinary one; from then on the connection has left HTTP: not a byte is sent but what the
taker sends, and whatever the application answers is dropped. The socket belongs to the
application for as long as its WSGI call lasts. Then the peer reads the end, may close in
its turn (RFC 6455 section 7.1.1), and the socket is closed by the server, exactly once and
never under a thread that is still in a call on it.

``simple_websocket``, and what is built on it (flask-sock, python-socketio), finds the offer
in the environ where eventlet's server puts its own.
"""

from __future__ import annotations

import _socket
import contextlib
import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from dualws.errors import HandshakeError, WebSocketClosed
from dualws.refusals import for_frameworks

if TYPE_CHECKING:
    from dualws.contract import Server
    from dualws.faces import WebSocket

#: Seconds that the application's own threads have, after its WSGI call, to say goodbye and to
#: close: simple_websocket answers a close frame after it has told the application of it.
_GRACE = 1.0
#: Bytes that one socket may move before the others get a turn, which greenlets need to be given.
_TURN = 256 * 1024
#: Most that is read at a time of what nobody wants any more.
_PIECE = 64 * 1024


class RawSocketOffer:
    """``environ["eventlet.input"]`` of a valid handshake.

    :param websocket: the same request's websocket, of which nothing is left once the socket
        is taken
    :param take: ``Upgrade.take_socket``
    """

    def __init__(
        self, websocket: WebSocket, take: Callable[[], tuple[socket.socket, bytes]]
    ) -> None:
        self._websocket = websocket
        self._take = take
        self._socket: RawSocket | None = None

    @property
    def taken(self) -> bool:
        """Whether the connection has left HTTP by :meth:`get_socket`."""
        return self._socket is not None

    def get_socket(self) -> RawSocket:
        """Take the connection out of HTTP; the same socket each time.

        The origin of the page is checked first, and a place for a blocking handler claimed, as
        for ``wsgi.websocket``.

        :raises HandshakeError: the page's origin is not allowed (403), or no thread is free
            for one more handler (503); the request is answered with that
        :raises WebSocketClosed: the client has gone
        :raises RuntimeError: the websocket has been accepted already
        """
        if self._socket is None:
            websocket = self._websocket
            websocket.admit()
            server = websocket.server
            try:
                sock, early = self._take()
            except ConnectionError as error:
                raise WebSocketClosed(1006, str(error)) from error
            server.limits.answered(websocket.environ)
            raw = self._socket = RawSocket(server, sock, early)
            websocket.after_request(raw.finish)
        return self._socket


class NoOffer:
    """``environ["eventlet.input"]`` of a bad handshake: says what is wrong with it.

    :param error: that
    """

    def __init__(self, error: HandshakeError) -> None:
        #: what :meth:`get_socket` raised, for whoever answers the request
        self.refusal: HandshakeError | None = None
        self._error = error

    def get_socket(self) -> NoReturn:
        """There is no socket.

        :raises HandshakeError: always; its status is a fitting answer
        """
        self.refusal = self._error
        raise for_frameworks(self._error)


class RawSocket:
    """A connected stream socket as blocking code knows it.

    Differs from a plain one in that :meth:`send` sends everything, as some libraries expect
    it to, that several threads may send at a time, each its whole data, and that a send
    ends with :exc:`TimeoutError` when the peer takes nothing for ``DUALWS_SEND_TIMEOUT``
    seconds and no timeout was set.

    :param server: the server that the connection came to
    :param sock: the socket; its calls block the thread or greenlet that makes them
    :param early: bytes that came together with the request; the first to be received
    """

    def __init__(self, server: Server, sock: socket.socket, early: bytes) -> None:
        self._server = server
        self._sock = sock
        self._early = early
        self._timeout: float | None = None
        self._patience = server.config.send_timeout
        # Not native mutexes: the first is held while a slow peer is waited for.
        self._sending = threading.Lock()
        self._guard = threading.Lock()
        self._users = 0
        self._turn = 0
        self._closed = False
        self._done = threading.Event()
        self._released = False
        sock.settimeout(self._patience)
        server.raw_sockets.add(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'closed' if self._closed else 'open'}>"

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[socket.socket]:
        """The socket, which is not closed while somebody is in a call on it.

        A descriptor that is closed under a call may be another connection's a moment later.
        """
        with self._guard:
            if self._closed:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            self._users += 1
        try:
            yield self._sock
        finally:
            with self._guard:
                self._users -= 1
                last = self._released and not self._users
            if last:
                self._sock.close()

    def _moved(self, size: int) -> None:
        self._turn += size
        if self._turn >= _TURN:
            self._turn = 0
            time.sleep(0)

    # -- receiving -----------------------------------------------------------------

    def recv(self, size: int, flags: int = 0) -> bytes:
        """At most *size* bytes; none once the peer has closed.

        :raises TimeoutError: nothing came within the timeout that was set
        """
        with self._in_use() as sock:
            if self._early:
                early = self._early[:size]
                if not flags & socket.MSG_PEEK:
                    self._early = self._early[size:]
                return early
            while True:
                try:
                    data = sock.recv(size, flags)
                except TimeoutError:
                    # The socket's own timeout is for sending.
                    if self._timeout is not None:
                        raise
                else:
                    self._moved(len(data))
                    return data

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        """Receive into *buffer*, which is filled at most; how many bytes came."""
        view = memoryview(buffer).cast("B")
        data = self.recv(size or len(view), flags)
        view[: len(data)] = data
        return len(data)

    # -- sending -------------------------------------------------------------------

    def send(self, data: Any, flags: int = 0) -> int:
        """Send all of *data*; its size.

        :raises TimeoutError: the peer took nothing for as long as the timeout says; the
            connection is of no use any more, since some of the data may be sent
        """
        view = memoryview(data).cast("B")
        with self._sending, self._in_use() as sock:
            sent = 0
            while sent < len(view):
                try:
                    moved = sock.send(view[sent : sent + _TURN], flags)
                except TimeoutError:
                    # The rest would arrive in the midst of something else.
                    self._shut(sock, socket.SHUT_RDWR)
                    raise
                sent += moved
                self._moved(moved)
        return len(view)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """:meth:`send`, as it is called where ``send`` may send less."""
        self.send(data, flags)

    # -- what else a socket has ----------------------------------------------------

    def fileno(self) -> int:
        """The descriptor, for ``select`` and its kind; -1 once it is closed."""
        return -1 if self._closed else self._sock.fileno()

    @property
    def family(self) -> int:
        """The address family."""
        return self._sock.family

    @property
    def type(self) -> int:
        """``SOCK_STREAM``."""
        return self._sock.type

    @property
    def proto(self) -> int:
        """The protocol's number."""
        return self._sock.proto

    def settimeout(self, value: float | None) -> None:
        """Let calls raise :exc:`TimeoutError` after *value* seconds; None waits (the default).

        :raises BlockingIOError: *value* is 0, which other calls on the socket do not allow
        """
        if value == 0:
            raise BlockingIOError(
                errno.EINVAL, "this socket cannot be made non-blocking: give it a short timeout"
            )
        with self._in_use() as sock:
            self._timeout = value
            sock.settimeout(self._patience if value is None else value)

    def gettimeout(self) -> float | None:
        """The timeout in seconds; None without."""
        return self._timeout

    def setblocking(self, flag: bool) -> None:
        """``settimeout(None)``; :exc:`BlockingIOError` when *flag* is false."""
        self.settimeout(None if flag else 0)

    def getblocking(self) -> bool:
        """True."""
        return True

    def getpeername(self) -> Any:
        """The client's address."""
        with self._in_use() as sock:
            return sock.getpeername()

    def getsockname(self) -> Any:
        """The server's address."""
        with self._in_use() as sock:
            return sock.getsockname()

    def getsockopt(self, *args: int) -> Any:
        """An option of the socket."""
        with self._in_use() as sock:
            return sock.getsockopt(*args)

    def setsockopt(self, *args: Any) -> None:
        """Set an option of the socket."""
        with self._in_use() as sock:
            sock.setsockopt(*args)

    def shutdown(self, how: int) -> None:
        """End one half of the connection, or both."""
        with self._in_use() as sock:
            sock.shutdown(how)

    def close(self) -> None:
        """The application is done with it: the peer reads the end. More than once is fine."""
        with self._guard:
            if self._closed:
                return
            self._closed = True
        self._shut(self._sock, socket.SHUT_WR)
        self._done.set()

    # -- for the server ------------------------------------------------------------

    def abort(self) -> None:
        """End the connection at once; whoever waits on the socket reads the end."""
        self._end(socket.SHUT_RDWR)

    def finish(self) -> None:
        """The WSGI call is over: let the peer close, at most ``close_timeout`` seconds.

        What it still sends is dropped. To close a socket with bytes unread would send RST,
        which takes what was sent last away from the peer.
        """
        sock = self._sock
        try:
            self._done.wait(_GRACE)
            self.close()
            # A descriptor of its own: code of the application may still wait in recv().
            with contextlib.suppress(OSError), sock.dup() as rest:
                self._drop(rest)
        finally:
            self._release()

    def _drop(self, rest: socket.socket) -> None:
        until = time.monotonic() + self._server.config.close_timeout
        while (left := until - time.monotonic()) > 0:
            rest.settimeout(left)
            if not rest.recv(_PIECE):
                break

    def leave(self) -> None:
        """Let the application read the end, as if the peer had left: the server is ending."""
        self._end(socket.SHUT_RD)

    def _end(self, how: int) -> None:
        """End the connection in the system alone.

        The shutdown() of gevent's sockets would let a call that waits fail instead.
        """
        with self._guard, contextlib.suppress(OSError):
            if not self._released:
                beneath = _socket.socket(fileno=self._sock.fileno())
                try:
                    beneath.shutdown(how)
                finally:
                    beneath.detach()

    def _release(self) -> None:
        self._server.raw_sockets.discard(self)
        with self._guard:
            # Wakes who is still in a call; the last one out closes.
            self._shut(self._sock, socket.SHUT_RDWR)
            self._released = True
            unused = not self._users
        if unused:
            self._sock.close()

    @staticmethod
    def _shut(sock: socket.socket, how: int) -> None:
        # OSError: the peer has gone before.
        with contextlib.suppress(OSError):
            sock.shutdown(how)
