"""The faces of a connection: ``environ["wsgi.websocket"]`` and ``ws`` in a view.

Law: it decides nothing. It translates between what handlers say and the
:class:`~dualws.connection.Connection`, and it accepts once, whoever comes first.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from dualws import database, json_messages
from dualws.connection import Connection
from dualws.contract import (
    ENVIRON_RAW_SOCKET,
    ENVIRON_UPGRADE,
    ENVIRON_WEBSOCKET,
    Environ,
    Server,
    Upgrade,
)
from dualws.errors import HandshakeError, WebSocketClosed
from dualws.hot import others_turn
from dualws.origin import check_origin
from dualws.protocol import frames
from dualws.protocol.deflate import agree
from dualws.protocol.fragments import Chunks, frames_of
from dualws.protocol.handshake import Handshake
from dualws.protocol.outgoing import Data, message_frame
from dualws.refusals import for_frameworks

if TYPE_CHECKING:
    from django.http import HttpRequest

    from dualws.auth import Identity
    from dualws.sessions import HandlerSession


class Face:
    """What the blocking and the asynchronous websocket have in common.

    :param environ: the upgrade request
    :param handshake: the request's handshake, found valid
    :param server: the server it came to
    """

    #: The Django request; set before a ``@websocket`` view's handler runs.
    request: HttpRequest

    def __init__(self, environ: Environ, handshake: Handshake, server: Server) -> None:
        self.environ = environ
        self.handshake = handshake
        self.server = server
        #: the subprotocol agreed upon (RFC 6455 section 1.9), None without one
        self.subprotocol: str | None = None
        self._connection: Connection | None = None

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open" if self.accepted else "not accepted"
        return f"<{type(self).__name__} {self.path} {state}>"

    # -- the handshake -------------------------------------------------------------

    @property
    def path(self) -> str:
        """Path of the request."""
        path: str = self.environ["PATH_INFO"]
        return path

    @property
    def origin(self) -> str | None:
        """The page's origin; None when the client is not a browser."""
        return self.handshake.origin

    @property
    def version(self) -> int:
        """Protocol version: 13, 8 or 7."""
        return self.handshake.version

    @property
    def protocol(self) -> str | None:
        """:attr:`subprotocol` by the name that it has in gevent-websocket."""
        return self.subprotocol

    @property
    def accepted(self) -> bool:
        """Whether the 101 response has been sent."""
        return self._connection is not None

    @property
    def user(self) -> Any:
        """``request.user``, as ``AuthenticationMiddleware`` set it."""
        return self.request.user

    @property
    def session(self) -> HandlerSession:
        """The session (``request.session``): as it was at the handshake, until its ``refresh()``.

        Nothing is saved by itself; ``save()`` writes what was changed since, key by key.
        """
        session: HandlerSession = self.request.session  # type: ignore[assignment]  # detached
        return session

    @property
    def connection(self) -> Connection:
        """The connection.

        :raises HandshakeError: the websocket has not been accepted
        """
        if self._connection is None:
            raise HandshakeError("the websocket has not been accepted")
        return self._connection

    # -- while it is open ----------------------------------------------------------

    def ping(self, data: bytes = b"") -> None:
        """Send a ping.

        :param data: at most 125 bytes
        :raises WebSocketClosed: it is closed
        :raises ValueError: *data* is too long
        """
        if len(data) > 125:
            raise ValueError(f"a ping holds at most 125 bytes, not {len(data)}")
        self.connection.ping(data)

    @property
    def draining(self) -> bool:
        """Whether the server is stopping: finish what is under way, and begin nothing long.

        The websocket is closed by the server soon, whatever the handler does.
        """
        return self.server.draining

    # -- topics --------------------------------------------------------------------

    def subscribe(self, topic: str) -> None:
        """Send this client every message that is published to *topic* from now on."""
        from dualws.pubsub import subscribe

        subscribe(self.connection, topic)

    def unsubscribe(self, topic: str) -> None:
        """Undo :meth:`subscribe`."""
        from dualws.pubsub import unsubscribe

        unsubscribe(self.connection, topic)

    # -- the end -------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._connection is not None and self._connection.closed

    @property
    def close_code(self) -> int | None:
        """Close code (RFC 6455 section 7.1.5) of the end; None before it.

        The peer's, or ours when we closed first; 1005 when the peer gave none, 1006 when
        there was no close frame.
        """
        return None if self._connection is None else self._connection.close_code

    @property
    def close_reason(self) -> str:
        """The reason that came with :attr:`close_code`."""
        return "" if self._connection is None else self._connection.close_reason

    def close(self, code: int = 1000, reason: str | bytes = "") -> None:
        """Close it; returns at once. Does nothing when it is closed.

        :param code: 1000, 1001, 1002, 1003, 1007 to 1014, or 3000 to 4999
        :param reason: at most 123 bytes in UTF-8
        :raises ValueError: *code* may not be sent (RFC 6455 section 7.4) or *reason* is too long
        """
        if isinstance(reason, bytes):
            reason = reason.decode("utf-8")
        if not frames.is_sendable(code):
            raise ValueError(
                f"close code {code} may not be sent: use 1000 to 1003, 1007 to 1014, "
                "or 3000 to 4999 for codes of your own"
            )
        if len(reason.encode("utf-8")) > 123:
            raise ValueError("a close reason holds at most 123 bytes of UTF-8")
        self.connection.close(code, reason)


class WebSocket(Face):
    """One websocket, from the handshake to its end, for code that may block.

    Not accepted at first: until :meth:`accept`, or the first :meth:`receive` or
    :meth:`send`, the request can still be answered like any other.
    """

    def __init__(self, environ: Environ, handshake: Handshake, server: Server) -> None:
        super().__init__(environ, handshake, server)
        #: whether :meth:`send` waits for a slow peer; without, the peer is closed (1008)
        self.waits = True
        #: why :meth:`accept` was refused: the middleware answers the request with it
        self.refusal: HandshakeError | None = None
        self._upgrade: Upgrade = environ[ENVIRON_UPGRADE]
        #: who is signed in, for the end of that: set before the handshake is answered
        self.identity: Identity | None = None
        #: gives database connections back while :meth:`receive` waits
        self._parking: database.Parking | None = None

    # -- the handshake -------------------------------------------------------------

    def choose_subprotocol(self, supported: Iterable[str]) -> str | None:
        """The first of the client's subprotocols that is also in *supported*, or None."""
        known = frozenset(supported)
        return next((name for name in self.handshake.subprotocols if name in known), None)

    def check_origin(self, scheme: str | None = None, host: str | None = None) -> None:
        """Apply the Origin rule.

        :param scheme: scheme the request came with; default: as the server saw it
        :param host: host it came to; default: its Host header
        :raises HandshakeError: 403
        """
        check_origin(
            self.origin,
            scheme or self.environ["wsgi.url_scheme"],
            host or self.environ["HTTP_HOST"],
            self.server.config.allowed_origins,
        )

    def accept(
        self,
        subprotocol: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        compression: bool | None = None,
    ) -> None:
        """Answer the handshake with 101. Does nothing when that has happened.

        :param subprotocol: one of those the client offers
        :param headers: further headers of the response
        :param compression: whether to agree on permessage-deflate with a client that
            offers it; default: as ``DUALWS_COMPRESSION`` says
        :raises ValueError: the client does not offer *subprotocol*
        :raises HandshakeError: the page's origin is not allowed (403), or no thread is
            free for one more handler (503); the request is answered with that
        :raises WebSocketClosed: the client has gone
        """
        if self._connection is not None:
            return
        # Not a native mutex: switch() may wait for the loop while it is held. Made here, as most
        # never need it; setdefault() gives all threads the same one.
        with vars(self).setdefault("_accept_lock", threading.RLock()):
            if self._connection is not None:
                return
            self.admit()
            request: HttpRequest | None = getattr(self, "request", None)
            if request is None:
                self.switch(subprotocol, headers, compression)
                self.server.handling.add(self.connection)
                return
            # Only Django's requests are known here, so Django is there.
            from dualws import auth, sessions

            self.identity = auth.identify(request)
            self.switch(subprotocol, headers, compression)
            self.server.handling.add(self.connection)
            sessions.detach(request, save=True)

    def admit(self) -> None:
        """Check what a handshake needs that is accepted inside the application.

        :raises HandshakeError: the page's origin is not allowed (403), or no thread is
            free for one more handler (503); the middleware answers the request with that
        """
        try:
            self.check_origin()
            self.reserve()
        except HandshakeError as error:
            self.refusal = error
            raise for_frameworks(error) from None

    def after_request(self, handler: Callable[[], object]) -> None:
        """Call *handler* once the WSGI cycle is over, in its context."""
        self._upgrade.after(handler)

    def let_go(self) -> None:
        """The handler has ended, and nothing serves this websocket any more.

        Its environ and its request let go of what holds them in turn: only the collector would find
        those.
        """
        self.server.handling.discard(self.connection)
        # The keys stay: the loop's thread may be going through them, for the access log.
        for key in (ENVIRON_WEBSOCKET, ENVIRON_RAW_SOCKET):
            if key in self.environ:
                self.environ[key] = None
        request: HttpRequest | None = getattr(self, "request", None)
        if request is not None:
            vars(request).pop("_messages", None)  # of MessageMiddleware, and holds the request

    def reserve(self, *, after: bool = False) -> None:
        """Claim what a blocking handler needs.

        :param after: it runs after the request, and not inside it
        :raises HandshakeError: 503, nothing is free
        """
        upgrade = self._upgrade
        # A backend may know no difference.
        claim = getattr(upgrade, "claim", upgrade.reserve) if after else upgrade.reserve
        if not claim():
            raise HandshakeError(
                "all threads for websocket handlers are taken "
                f"(max_blocking_handlers={self.server.config.max_blocking_handlers})",
                status=503,
                headers=(("Retry-After", "5"),),
            )

    def switch(
        self,
        subprotocol: str | None,
        headers: Iterable[tuple[str, str]],
        compression: bool | None = None,
    ) -> None:
        """Send the 101 and leave HTTP, without the checks of :meth:`accept`.

        :raises ValueError: the client does not offer *subprotocol*
        :raises WebSocketClosed: the client has gone
        """
        if subprotocol is not None and subprotocol not in self.handshake.subprotocols:
            raise ValueError(
                f"the client does not offer the subprotocol {subprotocol!r}, "
                f"only {list(self.handshake.subprotocols)}"
            )
        config = self.server.config
        wanted = config.compression if compression is None else compression
        deflate = agree(self.handshake.extensions, config) if wanted else None
        extensions = "" if deflate is None else str(deflate.agreement)
        head = self.handshake.response_head(subprotocol, extensions, headers)
        seeing = self.server.seeing
        kind = Connection if seeing is None else seeing.connection_type
        connection = self.server.limits.new_connection(kind, deflate)
        # Before: the client may begin another one as soon as it has the answer.
        self.server.limits.answered(self.environ)
        try:
            transport = self._upgrade.switch(head, connection)
        except ConnectionError as error:
            raise WebSocketClosed(1006, str(error)) from error
        self.subprotocol = subprotocol
        self._connection = connection
        database.count_connections()
        if seeing is not None:
            seeing.socket_opened(self, connection)
        self.server.limits.accepted(connection, transport, self.environ)
        connection.open(transport)
        if self.server.limits.full:
            connection.allow(0)  # it was not among those who were told
        if self.identity is not None:
            from dualws import auth

            auth.watch(connection, self.identity)

    # -- messages ------------------------------------------------------------------

    @property
    def connection(self) -> Connection:
        """The connection; accepts the handshake when that has not happened."""
        if self._connection is None:
            self.accept()
            assert self._connection is not None
        return self._connection

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        """Wait for the next message.

        :param timeout: seconds; None waits as long as it takes
        :return: text as ``str``, binary as ``bytes``, None once the websocket has ended
        :raises TimeoutError: nothing came in time; the websocket stays open
        """
        connection = self._connection
        if connection is None:
            connection = self.connection
        parking = self._parking
        if parking is None or parking.clean != database.made:
            return self._park(connection, timeout)
        return connection.receive(timeout)

    wait = receive

    def _park(self, connection: Connection, timeout: float | None) -> str | bytes | None:
        """:meth:`receive` where this code may hold database connections."""
        if self._parking is None:
            self._parking = database.Parking(connection)
        return self._parking.receive(timeout)

    def __iter__(self) -> Iterator[str | bytes]:
        """The messages, until the websocket ends."""
        while True:
            connection, parking = self._connection, self._parking
            if connection is None or parking is None or parking.clean != database.made:
                message = self.receive()
            else:  # what receive() does for nearly all messages
                message = connection.receive()
            if message is None:
                return
            yield message

    def receive_json(self, timeout: float | None = None) -> Any:
        """Wait for the next message, which must be JSON (text, or UTF-8 in a binary one).

        :param timeout: seconds; None waits as long as it takes
        :return: the message's value
        :raises InvalidMessage: it is not JSON; the websocket stays open. A handler that does
            not catch it closes with 1007
        :raises WebSocketClosed: the websocket has ended (None would be JSON's ``null``)
        :raises TimeoutError: nothing came in time; the websocket stays open
        """
        message = self.receive(timeout)
        if message is None:
            raise self.connection.closed_error()
        return json_messages.decode(message)

    def send(
        self, data: Data | Chunks, binary: bool | None = None, *, compress: bool | None = None
    ) -> None:
        """Send one message. Waits while the peer has not read what was sent before.

        :param data: ``str`` goes as text, bytes-like data as binary. An iterator of either
            (a generator, an open file) is sent as it produces: each chunk is a frame
            (RFC 6455 section 5.4), held until the next one shows that it is not the last. What
            others send to this client meanwhile follows afterwards.
        :param binary: overrides that (bytes sent as text must be UTF-8)
        :param compress: True and False override ``DUALWS_COMPRESSION_THRESHOLD``, which an
            iterator's first chunk is compared with; without an agreement on compression the
            message is never compressed
        :raises WebSocketClosed: it is closed
        :raises SendTimeout: the peer took nothing for ``DUALWS_SEND_TIMEOUT`` seconds
        :raises TypeError: *data*, or a chunk, is none of these types
        :raises Exception: what the iterator raises. When a part of its message is out already
            the websocket is closed (1011): the message cannot be taken back
        """
        connection = self._connection
        if connection is None:
            connection = self.connection
        if binary is None and compress is None and self.waits:
            room = connection.send_message(data)
            if room is not None:  # what nearly all messages are
                if not room:
                    connection.wait_for_peer()
                return
        if not isinstance(data, str | bytes) and isinstance(data, Iterator):
            self._send_fragments(connection, data, binary, compress)
            return
        frame = message_frame(data, binary, compress, connection.deflate)
        # The peer may read all of it, so that nothing else makes this wait.
        if others_turn(0 if connection.deflate is None else len(data)):
            self.server.give_way()
        if self.waits:
            connection.send(frame)
        elif not connection.send_nowait(frame):
            raise connection.closed_error()

    def send_json(
        self,
        value: object,
        *,
        encoder: type[json.JSONEncoder] | None = None,
        compress: bool | None = None,
    ) -> None:
        """Send *value* as one JSON text message.

        :param encoder: default: Django's ``DjangoJSONEncoder``: dates, decimals, UUIDs
        :param compress: as in :meth:`send`
        :raises WebSocketClosed: it is closed
        :raises SendTimeout: as :meth:`send`
        :raises TypeError: *value* holds something that the encoder does not know
        :raises ValueError: *value* holds NaN or an infinity, or itself
        """
        self.send(json_messages.encode(value, encoder), compress=compress)

    def _send_fragments(
        self, connection: Connection, data: Chunks, binary: bool | None, compress: bool | None
    ) -> None:
        waiter = connection.runtime.waiter()
        if not connection.begin_fragments(waiter.wake):
            try:
                waiter.wait()
            except BaseException:  # killed while it waited
                if not connection.cancel_fragments(waiter.wake):
                    connection.end_fragments(complete=True)
                raise
        begun = complete = False
        try:
            for frame in frames_of(data, binary, compress, connection.deflate):
                begun = True
                if others_turn(len(frame)):
                    self.server.give_way()
                connection.send_fragment(frame, wait=self.waits)
            complete = True
        finally:
            connection.end_fragments(complete or not begun)
