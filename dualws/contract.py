"""The contract between dualws's core and a backend.

Its law: *the core decides what happens, a backend only carries it out.* Whatever a
user or a peer can notice (handshake, frames, limits, close codes, timeouts) is
decided in the core, with the few primitives below, and so is the same on every
backend. A backend knows nothing of websockets: it accepts connections, speaks HTTP
and WSGI, hands over the bytes of a connection that left HTTP (``Upgrade``,
``Transport``), and tells how code waits and starts (``Runtime``).

Threads: ``ConnectionOwner``'s methods are called from the thread of the loop or hub (or
``data_received`` from the thread that waits for it: see :class:`Transport`), one at a
time, and never from inside a call of ``Transport``. ``Transport``,
``Waiter.wake``, ``Runtime`` and ``Timer.cancel`` may be called from any thread.
"""

from __future__ import annotations

import dataclasses
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """What a server needs to know. Sizes are in bytes, times in seconds.

    :param bind: addresses to listen on, each ``HOST:PORT`` or ``[IPV6]:PORT``, port 0
        takes a free one; ``unix:PATH``; or ``fd://N``, a descriptor that the server was
        started with
    :param unix_socket_mode: permission bits, in octal digits, of the files of unix sockets
    :param certfile: PEM file with the server's certificate and those between it and the
        authority's: the server speaks TLS, and nothing else, on all its addresses
    :param keyfile: PEM file with the certificate's key, where that is a file of its own
    :param keyfile_password_file: file whose first line is the password of encrypted keys
    :param sni_certificates: certificates for other names: ``NAME=CERTFILE[,KEYFILE]``, NAME may
        be ``*.example.com``
    :param client_certificates: ``none``, ``optional`` or ``required``; what a client proves
        is in the environ, ``SSL_CLIENT_S_DN`` and others
    :param ca_certs: PEM file with the certificates of the authorities that clients' come from
    :param ciphers: ciphers of TLS 1.2, in OpenSSL's notation; empty for OpenSSL's own choice
    :param tls_timeout: how long a TLS handshake, and a PROXY preamble, may take
    :param trusted_proxies: addresses and networks (``10.0.0.0/8``) of the proxies whose word
        counts; ``unix`` for whoever connects through a unix socket
    :param trusted_headers: which headers those proxies set, of ``x-forwarded-for``,
        ``x-forwarded-proto``, ``x-forwarded-host`` and ``x-forwarded-port``, or ``forwarded``
        alone
    :param proxy_protocol: connections begin with the PROXY protocol, version 1 or 2, and come
        from ``trusted_proxies``; all others are closed
    :param max_message_size: largest message a peer may send, counted after
        decompression; a larger one ends the connection with 1009
    :param max_queued_messages: reading from a peer pauses while this many messages wait
        for the handler
    :param send_buffer_size: a blocking ``send`` waits while more than this waits for the
        peer; an event or broadcast send that would pass it ends the connection
    :param send_timeout: how long a blocking ``send`` waits before it ends the connection
        with 1008
    :param ping_interval: a ping is sent after this much silence; 0 switches pings off
    :param ping_timeout: without any byte for this long after the ping: closed with 1011
    :param close_timeout: how long the peer may take to answer a close frame, and to read
        what is still queued for it
    :param compression: agree on permessage-deflate (RFC 7692) with clients that offer it
    :param compression_threshold: messages under this many bytes are sent uncompressed
    :param compression_window_bits: base-2 logarithm of the largest window for either
        side, 8 to 15: more compresses better and takes more memory
    :param compression_context_takeover: keep the windows from message to message: small
        messages compress much better, and each connection holds them while it is idle
    :param allowed_origins: origins allowed beside the request's own: ``scheme://host[:port]``,
        ``scheme://*.domain``, or ``*``
    :param auth_recheck: how often the users of open websockets are checked: who signed out,
        or was deactivated, in another process is closed with 4401 that much later; 0
        switches the check off
    :param threads: threads that serve HTTP requests (backends without greenlets)
    :param max_blocking_handlers: blocking websocket handlers at a time (backends that
        need a thread for each); when all are taken a handshake is refused with 503
    :param drain_window: a server that is told to end takes up to this long to close its
        websockets (1012), so that their clients do not all come back at the same moment
    :param workers: processes that serve, under one that replaces those that end; 0 serves in a
        single process
    :param spool_size: request bodies that must be held are kept in memory up to this,
        on disk past it
    :param max_header_size: largest request line and headers together; a larger one is refused
        with 431, or 414 when the request line alone is over it
    :param max_headers: most header lines of a request; one with more is refused with 431; 0: any
    :param max_body_size: largest request body; a larger one is refused with 413; 0: any
    :param header_timeout: how long a client may take for the request line and headers together,
        from their first byte; then 408; 0: any time
    :param body_timeout: how long nothing may come of a request body; then 408; 0: any time
    :param body_min_rate: bytes a second that a request body must come with on the average, after
        body_timeout seconds; below that 408; 0: any
    :param http_idle_timeout: how long an HTTP connection may be idle before it is closed, before
        its first request and between requests; 0: any time
    :param response_timeout: how long a client may take nothing of a response before its connection
        is cut; one that reads slowly may take any time; 0: any time
    :param access_log: log a line for each request, and for each websocket at its beginning and
        its end, to the logger ``dualws.access``
    :param access_log_format: form of those lines: ``common``, ``combined``, ``json``, or
        ``django`` (as runserver prints them)
    :param metrics_bind: addresses, each ``HOST:PORT``, on which figures for Prometheus and the
        answers to health checks are served, apart from the project
    :param metrics_path: path of the figures on ``metrics_bind``
    :param metrics_folder: folder in which several workers add their figures up; by itself one
        is made for the workers of one start
    :param live_path: path that answers 200 while the server's loop turns, 503 once it is stuck
    :param ready_path: path that answers 200 while new connections are served, 503 before that
        and once the server is ending
    :param health_checks: answer ``live_path`` and ``ready_path`` on ``bind`` too, before the
        project sees them
    :param live_timeout: seconds for which the loop may stand still before ``live_path`` answers 503
    :param blocked_warning: when code blocks the loop, and with it everybody, for longer than this,
        log a warning with its stack; 0 switches it off
    :param tracing: make a span for each request and each websocket where OpenTelemetry is
        installed
    """

    bind: tuple[str, ...] = ("127.0.0.1:8000",)
    unix_socket_mode: str = "660"
    certfile: str = ""
    keyfile: str = ""
    keyfile_password_file: str = ""
    sni_certificates: tuple[str, ...] = ()
    client_certificates: str = "none"
    ca_certs: str = ""
    ciphers: str = ""
    tls_timeout: float = 10.0
    trusted_proxies: tuple[str, ...] = ()
    trusted_headers: tuple[str, ...] = ("x-forwarded-for", "x-forwarded-proto")
    proxy_protocol: bool = False
    max_message_size: int = 1024 * 1024
    max_queued_messages: int = 32
    send_buffer_size: int = 1024 * 1024
    send_timeout: float = 30.0
    ping_interval: float = 20.0
    ping_timeout: float = 20.0
    close_timeout: float = 5.0
    compression: bool = True
    compression_threshold: int = 1024
    compression_window_bits: int = 12
    compression_context_takeover: bool = False
    allowed_origins: tuple[str, ...] = ()
    auth_recheck: float = 60.0
    threads: int = 16
    max_blocking_handlers: int = 1000
    drain_window: float = 20.0
    workers: int = 0
    spool_size: int = 1024 * 1024
    max_header_size: int = 64 * 1024
    max_headers: int = 100
    max_body_size: int = 1024 * 1024 * 1024
    header_timeout: float = 30.0
    body_timeout: float = 30.0
    body_min_rate: int = 240
    http_idle_timeout: float = 75.0
    response_timeout: float = 60.0
    access_log: bool = False
    access_log_format: str = "combined"
    metrics_bind: tuple[str, ...] = ()
    metrics_path: str = "/metrics"
    metrics_folder: str = ""
    live_path: str = "/live"
    ready_path: str = "/ready"
    health_checks: bool = False
    live_timeout: float = 30.0
    blocked_warning: float = 0.25
    tracing: bool = True


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

        :return: :attr:`buffered`
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
    # ``taken() -> int``, bytes that the peer has taken of all that was written, -1 if unknown.


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
        """


class Server(ABC):
    """A server on one or more listening sockets: ``environ["wsgi.server"]``.

    :param backend: the backend that made it
    :param application: the WSGI application; the server wraps it in the websocket middleware
    :param config: its configuration
    :param sockets: bound and listening sockets; the server owns them from now on
    """

    def __init__(
        self,
        backend: Backend,
        application: WSGIApplication,
        config: ServerConfig,
        sockets: Sequence[socket.socket],
    ) -> None:
        from dualws.middleware import WebSocketMiddleware

        self.backend = backend
        self.application: WSGIApplication = WebSocketMiddleware(application, self)
        self.config = config
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

            self.application = ForwardedMiddleware(self.application, self.config)
        if self.config.certfile:
            from dualws.tls.certificates import Certificates

            self.certificates = Certificates(self.config)
        if self.config.certfile or self.config.proxy_protocol:
            from dualws.serving.greeting import Greeter

            self.greeter = Greeter(self.config, self.certificates)

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
        close_all(self)
        for taken in tuple(self.raw_sockets):
            taken.abort()
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
