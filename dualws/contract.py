"""The contract between dualws's core and a backend.

Its law: *the core decides what happens, a backend only carries it out.* Whatever a
user or a peer can notice (handshake, frames, limits, close codes, timeouts) is
decided in the core, with the few primitives below, and so is the same on every
backend. A backend knows nothing of websockets: it accepts connections, speaks HTTP
and WSGI, hands over the bytes of a connection that left HTTP (``Upgrade``,
``Transport``), and tells how code waits and starts (``Runtime``).

Threads: ``ConnectionOwner``'s methods are called from the thread of the loop or hub, one at a
time, and never from inside a call of ``Transport``. Only ``data_received`` (with TLS also
``eof_received``) may come from the thread that waits for it instead, see :class:`Transport`,
at the same time as the loop's ``drained``. ``Transport``,
``Waiter.wake``, ``Runtime`` and ``Timer.cancel`` may be called from any thread.
"""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

from dualws.config import ServerConfig as ServerConfig
from dualws.errors import ConfigurationError
from dualws.waiting import Lock as Lock
from dualws.waiting import Runtime as Runtime
from dualws.waiting import Timer as Timer
from dualws.waiting import Waiter as Waiter

if TYPE_CHECKING:
    from dualws.connection import Connection
    from dualws.flushing import Flusher
    from dualws.observing.access import AccessLog
    from dualws.observing.seeing import Seeing
    from dualws.observing.watchdog import Watchdog
    from dualws.raw_socket import RawSocket
    from dualws.serving.forwarded import ForwardedMiddleware
    from dualws.serving.greeting import Greeter
    from dualws.serving.share import Share
    from dualws.tls.certificates import Certificates

#: Version of this contract. A backend states the version that it was written for in
#: :attr:`Backend.contract_version`; the registry refuses any other.
CONTRACT_VERSION = 1

#: environ key: the :class:`dualws.faces.WebSocket` of a valid upgrade request
ENVIRON_WEBSOCKET = "wsgi.websocket"
#: environ key, in every request: the :class:`Server`
ENVIRON_SERVER = "wsgi.server"
#: environ key of a bad upgrade request: the :class:`dualws.errors.HandshakeError`
ENVIRON_HANDSHAKE_ERROR = "dualws.handshake_error"
#: environ key, set by the backend in requests that ask for an upgrade: :class:`Upgrade`
ENVIRON_UPGRADE = "dualws.upgrade"
#: environ key of a valid upgrade request: the :class:`dualws.raw_socket.RawSocketOffer`
ENVIRON_RAW_SOCKET = "eventlet.input"

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Callable[[bytes], object]]
WSGIApplication: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]


class ConnectionOwner(Protocol):
    """Who receives the bytes of an upgraded connection (``dualws.connection.Connection``)."""

    def data_received(self, data: bytes) -> None:
        """The peer sent *data*, never empty."""

    def eof_received(self) -> None:
        """The peer will send no more. The transport stays open for writing."""

    def drained(self) -> None:
        """What was written has left the buffer, after some of it had to wait there."""

    def connection_lost(self, error: OSError | None) -> None:
        """The transport is closed. Called exactly once, as the last call."""


class Transport(Protocol):
    """The bytes of one connection that has left HTTP. Begins paused.

    A transport may also have ``waiter()``, which returns a :class:`Waiter` for the code that
    waits for this connection's messages. While that waits, its thread may read the socket in
    the loop's place, and call the owner.
    """

    @property
    def buffered(self) -> int:
        """Bytes that were written and that the operating system has not yet taken."""

    def write(self, data: bytes | bytearray) -> int:
        """Send *data* after all that was written before; never blocks, never raises.

        What cannot be sent at once is buffered. Calls from several threads are the
        caller's to order. After the connection is lost the data is dropped.

        :return: :attr:`buffered`; -1 when the peer turns out to be gone, of which the owner
            is told later
        """

    def pause_reading(self) -> None:
        """Ask for no more :meth:`ConnectionOwner.data_received`; one may still come."""

    def resume_reading(self) -> None:
        """Undo :meth:`pause_reading`."""

    def close(self) -> None:
        """Send the buffer and FIN, then close when the peer does; then ``connection_lost(None)``.

        What the peer still sends is dropped. The owner sets the time limit: ``abort``.
        """

    def abort(self) -> None:
        """Close at once and drop the buffer; then ``connection_lost(None)``."""

    # Optional: ``departure(silence: float) -> str``, why the peer counts as gone while nothing is
    # read from it, empty if it does not; *silence* is in seconds without an acknowledgement. And
    # ``taken() -> int``, bytes that the peer has taken of all that was written, -1 if unknown. And
    # ``expect(missing: int) -> bool``: nothing can be done before *missing* bytes have come, so
    # they may come in fewer calls, until it is told of less; returns whether they do.


class Upgrade(Protocol):
    """One HTTP exchange that may leave HTTP: ``environ["dualws.upgrade"]``."""

    @property
    def runtime(self) -> Runtime:
        """The server's runtime."""

    def reserve(self) -> bool:
        """Claim the place of a blocking handler for this thread or greenlet.

        False when all are taken. The place is given back when the WSGI cycle and the
        handler given to :meth:`after` are over.
        """

    def claim(self) -> bool:
        """:meth:`reserve`, where the thread or greenlet itself will not wait.

        The place is for the handler that :meth:`after` will be given. A backend without this
        method is asked to :meth:`reserve`, which may let another thread take over requests.
        """

    def switch(self, head: bytes, owner: ConnectionOwner) -> Transport:
        """Send *head* (a whole 101 response) and leave HTTP.

        From now on the connection's bytes belong to *owner*, beginning with those that came
        together with the request. The transport begins paused: the first
        :meth:`Transport.resume_reading` lets them flow.
        Called at most once, in the thread or greenlet of the WSGI call.

        :raises ConnectionError: the client has gone
        """

    def take_socket(self) -> tuple[socket.socket, bytes]:
        """Leave HTTP without a byte sent, for code that speaks to the socket itself.

        Instead of :meth:`switch`, under the same rules. A backend without this method serves
        everything but libraries that want the raw socket. The caller owns the socket, whose
        blocking methods block this model's unit only: the thread, or the greenlet.

        :return: the socket, and the bytes that came together with the request
        :raises ConnectionError: the client has gone
        :raises RuntimeError: the request has left HTTP already
        """

    def after(self, handler: Callable[[], object]) -> None:
        """Call *handler* once the WSGI cycle, ``close()`` included, is over.

        In the same ``contextvars`` context, and best in a fresh thread or greenlet: the stack
        of the one that ran the application has grown deep, and a parked one keeps it.

        :raises RuntimeError: there is one already
        """


class Server(ABC):
    """A server on one or more listening sockets: ``environ["wsgi.server"]``.

    :param backend: the backend that made it
    :param application: the WSGI application; the server wraps it in the websocket middleware
    :param config: its configuration
    :param sockets: bound and listening sockets; the server owns them from now on
    """

    #: whether it greets new connections with :attr:`greeter`, as TLS and the PROXY protocol need;
    #: a backend that does says so
    greets: ClassVar[bool] = False

    def __init__(
        self,
        backend: Backend,
        application: WSGIApplication,
        config: ServerConfig,
        sockets: Sequence[socket.socket],
    ) -> None:
        from dualws.limits.gate import Gate
        from dualws.limits.limits import Limits
        from dualws.middleware import WebSocketMiddleware

        self.backend = backend
        self.config = config
        #: what clients may take of it
        self.limits = Limits(self)
        #: the application as it was given
        self.served = application
        self.application: WSGIApplication = Gate(
            WebSocketMiddleware(application, self), self.limits
        )
        self._forwarded: ForwardedMiddleware | None = None
        #: what new connections are served with; None without TLS
        self.certificates: Certificates | None = None
        #: greets new connections; None where HTTP begins with their first byte
        self.greeter: Greeter | None = None
        if config.certfile or config.proxy_protocol or config.trusted_proxies:
            self._prepare_listening()
        self.sockets = tuple(sockets)
        #: live websockets
        self.connections: set[Connection] = set()
        #: sockets that the application has taken
        self.raw_sockets: set[RawSocket] = set()
        #: whether it is stopping: no new connections, live websockets are about to be closed
        self.draining = False
        #: websockets whose handler has not come to its end
        self.handling: set[Connection] = set()
        #: asked before each connection is accepted, where several processes share the sockets
        self.share: Share | None = None
        #: most seconds that :meth:`drain` may take, whatever the configuration says
        self.drain_limit: float | None = None
        #: called once when the last websocket has gone
        self.on_empty: Callable[[], object] | None = None
        #: called with what a websocket's handler raised, once that is logged: for tests
        self.on_handler_failed: Callable[[BaseException], object] | None = None
        #: called once connections are accepted, by :meth:`opened`
        self.on_opened: Callable[[], object] | None = None
        #: writes the access log in the place of ``dualws.access``; set before :meth:`opened`
        self.on_access: AccessLog | None = None
        #: how long its loop has not turned; None before :meth:`opened`, and where nothing asks
        self.watchdog: Watchdog | None = None
        #: counts, logs and times what happens; None before :meth:`opened`, and where nothing asks
        self.seeing: Seeing | None = None
        #: reason -> websockets that were given up
        self.drops: dict[str, int] = {}

    def _prepare_listening(self) -> None:
        """Load what TLS and proxies need, and whoever has neither does not."""
        if self.config.trusted_proxies:
            from dualws.serving.forwarded import ForwardedMiddleware

            self._forwarded = ForwardedMiddleware(self.application, self.config)
            self.application = self._forwarded
        if (self.config.certfile or self.config.proxy_protocol) and not self.greets:
            raise ConfigurationError(
                f"The backend {self.backend.name!r} has neither TLS nor the PROXY protocol. Leave "
                f"--certfile and --proxy-protocol out and put a proxy in front, or take another one"
            )
        if self.config.certfile:
            from dualws.tls.certificates import Certificates

            self.certificates = Certificates(self.config)
        if self.config.certfile or self.config.proxy_protocol:
            from dualws.serving.greeting import Greeter

            self.greeter = Greeter(self.config, self.certificates, self.refused)

    def wrap(self, middleware: Callable[[WSGIApplication], WSGIApplication]) -> None:
        """Put *middleware* around the application, where the client's address is known already."""
        outermost = self if self._forwarded is None else self._forwarded
        outermost.application = middleware(outermost.application)

    def refused(
        self, status: str, peer: Any, head: bytes = b"", begun: float | None = None, text: str = ""
    ) -> None:
        """Called by the backend when it answers a request that no application will see.

        From any thread.

        :param status: status of the answer, ``400 Bad Request``
        :param peer: the client's address, as ``accept()`` tells it
        :param head: what has come of the request, from its first byte
        :param begun: when its head had come, on the monotonic clock; None when it had not
        :param text: what the answer says; default: the status's phrase
        """
        if self.seeing is not None:
            self.seeing.request_refused(status, peer, head, begun, len(text or status[4:]) + 1)

    def give_way(self) -> None:  # noqa: B027  # most need not
        """Let others have a turn: called in blocking code that sends much, and may wait for nobody.

        Where such code has threads of its own they have it anyway.
        """

    def reload_certificates(self) -> bool:
        """Read the certificates again, for new connections; from any thread, never waiting.

        :return: False, and why in the log, when the old ones stay
        """
        return self.certificates is None or self.certificates.reload()

    @property
    @abstractmethod
    def runtime(self) -> Runtime:
        """How code waits and starts in this server."""

    @cached_property
    def flusher(self) -> Flusher:
        """Sends what connections keep back for a moment."""
        from dualws.flushing import Flusher

        return Flusher(self.runtime)

    @abstractmethod
    def run(self, *, stop_signals: Sequence[int] = (), drain_signals: Sequence[int] = ()) -> None:
        """Serve until :meth:`stop`; blocks. Must be called in the main thread to use signals.

        Calls ``self.opened()`` once it accepts connections and minds the signals, and
        ``self.closing()``, which blocks until the live websockets have been told, before
        it returns.

        :param stop_signals: signals that stop the server
        :param drain_signals: signals that make it :meth:`drain`; a backend that does not
            override :meth:`stop_accepting` is given none
        """

    @abstractmethod
    def stop(self) -> None:
        """Make :meth:`run` end; from any thread and from signal handlers, more than once."""

    @property
    def can_drain(self) -> bool:
        """Whether the backend overrides :meth:`stop_accepting`."""
        return type(self).stop_accepting is not Server.stop_accepting

    def stop_accepting(self) -> None:
        """Accept what waits in the listening sockets, then close those; in the loop's thread.

        From then on :attr:`draining` is true, and whatever HTTP answer goes out is the last
        one of its connection. A backend without this method cannot drain: it stops at once.
        """
        raise NotImplementedError

    def http_connections_left(self) -> tuple[int, int]:
        """For :meth:`drain`: connections inside an HTTP request, and those between requests."""
        return 0, 0

    def open_connections(self) -> int:
        """How many of the connections that were accepted are not closed."""
        return len(self.connections) + len(self.raw_sockets)

    def drain(self) -> None:
        """Make :meth:`run` end gently (:mod:`dualws.serving.drain`), within ``drain_window``.

        From any thread, once the server runs; a second call has no effect.
        """
        from dualws.serving.drain import Drain

        if self.can_drain:
            self.runtime.call_later(0, Drain(self).begin)
        else:
            self.stop()

    def forget(self, connection: Connection) -> None:
        """A websocket's connection is lost: count it no more."""
        if self.seeing is None:
            self.connections.discard(connection)
        else:
            self.seeing.socket_closed(connection)
        self.limits.lost(connection)
        if self.on_empty is not None and not self.connections:
            on_empty, self.on_empty = self.on_empty, None
            on_empty()

    def gave_up(self, reason: str) -> None:
        """Count a websocket that is given up for *reason*."""
        self.drops[reason] = self.drops.get(reason, 0) + 1

    def figures(self) -> dict[str, float]:
        """What only the backend can count, by name of the gauge (``docs/guide/observability.md``).

        May be called from any thread.
        """
        return {}

    def opened(self) -> None:
        """Called by :meth:`run` when connections are accepted: start what the core keeps going."""
        from dualws import observing, pubsub
        from dualws.keepalive import Keepalive

        pubsub.use_lock(self.runtime.lock())
        self._observers = observing.begin(self)
        self.limits.begin()
        self._keepalive = Keepalive(self)
        if self.on_opened is not None:
            self.on_opened()

    def closing(self) -> None:
        """Called by :meth:`run` when no new connections are accepted: end the websockets."""
        from dualws.keepalive import close_all

        self.draining = True
        self._keepalive.stop()
        for taken in tuple(self.raw_sockets):
            taken.leave()
        self.limits.end()
        try:
            close_all(self)
            for taken in tuple(self.raw_sockets):
                taken.abort()
        finally:
            self._observers.end()


class Backend(ABC):
    """A concurrency model. A plugin's entry point in ``dualws.backends`` names a subclass."""

    #: name of the entry point
    name: ClassVar[str]
    #: one line for ``dualws backends``
    summary: ClassVar[str]
    #: version of the contract it was written for: a literal, not ``CONTRACT_VERSION``
    contract_version: ClassVar[int]

    @classmethod
    @abstractmethod
    def prepare(cls) -> None:
        """Prepare the process, before Django and every driver is imported.

        Called by :mod:`dualws.bootstrap` exactly once in a serving process.

        :raises PreparedTooLate: something that had to come later is already imported
        """

    @abstractmethod
    def make_server(
        self,
        application: WSGIApplication,
        config: ServerConfig,
        sockets: Sequence[socket.socket],
    ) -> Server:
        """A server for *application* on listening *sockets*, not running yet."""

    @classmethod
    def before_fork(cls) -> None:
        """This process, just prepared, will not serve: it imports the project and forks workers.

        Undo what keeps it from starting processes and waiting for them.
        """
        return

    @classmethod
    def after_fork(cls) -> None:
        """Make this process, a worker, ready for a server; after :meth:`prepare`.

        Whether that happened in this process, or in the one that it was forked from, and
        :meth:`before_fork` there.
        """
        return

    @classmethod
    def leave_thread(cls) -> None:
        """Free what a server leaves behind in the thread that ran it, before that thread ends.

        Only where the thread ends before the process: ``dualws.testing`` runs such servers.
        """
        return

    @classmethod
    def versions(cls) -> str:
        """The library it runs on and its version, for ``dualws backends``."""
        return ""
