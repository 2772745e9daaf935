"""``wsgi.websocket`` for programs that import gevent-websocket.

Law: *it adds what that package's own websocket has and ours lacks, and changes nothing else*.
Used only where a program imported ``geventwebsocket``, on any backend: its end is an
exception that ``except WebSocketError`` catches, the second time it is asked for (its
``WebSocketApplication`` ends by that alone), and ``handler`` leads to all clients of the server.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from weakref import WeakKeyDictionary, WeakSet

from geventwebsocket.exceptions import WebSocketError

from dualws.contract import Environ, Server
from dualws.errors import WebSocketClosed
from dualws.faces import WebSocket
from dualws.protocol.fragments import Chunks
from dualws.protocol.handshake import Handshake
from dualws.protocol.outgoing import Data

Address = tuple[str, int]

_open: WeakKeyDictionary[Server, WeakSet[GeventWebSocket]] = WeakKeyDictionary()


class Closed(WebSocketClosed, WebSocketError):  # type: ignore[misc]  # theirs has no types
    """:exc:`~dualws.errors.WebSocketClosed`, for code that catches ``WebSocketError`` too."""


@dataclasses.dataclass(frozen=True, slots=True)
class Client:
    """One of ``handler.server.clients``.

    :param address: the client's address and port
    :param ws: its websocket
    """

    address: Address
    ws: GeventWebSocket


class Clients:
    """``handler.server``: who is connected.

    :param server: the server
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    @property
    def clients(self) -> dict[Address, Client]:
        """The open websockets of this process, by the client's address."""
        found = tuple(_open.get(self._server, ()))
        return {ws.client_address: Client(ws.client_address, ws) for ws in found if not ws.closed}


class Handler:
    """``ws.handler``, as far as applications use it.

    :param ws: the websocket
    """

    def __init__(self, ws: GeventWebSocket) -> None:
        self.websocket = ws
        self.environ = ws.environ
        self.client_address = ws.client_address
        self.server = Clients(ws.server)

    @property
    def active_client(self) -> Client:
        """This websocket among ``server.clients``."""
        return Client(self.client_address, self.websocket)


class GeventWebSocket(WebSocket):
    """The websocket of one request, also as gevent-websocket's code knows it."""

    def __init__(self, environ: Environ, handshake: Handshake, server: Server) -> None:
        super().__init__(environ, handshake, server)
        #: the client's address and port
        self.client_address: Address = (
            environ["REMOTE_ADDR"],
            int(environ.get("REMOTE_PORT") or 0),
        )
        self._end_told = False

    @property
    def handler(self) -> Handler:
        """Leads to ``active_client`` and ``server.clients``; accepts the handshake.

        Whoever asks for it counts this client among the others.
        """
        self.accept()
        return Handler(self)

    def switch(
        self,
        subprotocol: str | None,
        headers: Iterable[tuple[str, str]],
        compression: bool | None = None,
    ) -> None:
        """Send the 101; ``Resource.app_protocol`` chooses the subprotocol if nobody has."""
        if subprotocol is None:
            choose = getattr(self.server.served, "app_protocol", None)
            chosen = choose(self.path) if choose is not None else None
            if chosen in self.handshake.subprotocols:
                subprotocol = chosen
        super().switch(subprotocol, headers, compression)
        _open.setdefault(self.server, WeakSet()).add(self)

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        """The next message; None once the websocket has ended, :exc:`Closed` after that."""
        if self._end_told:
            raise self._closed_error()
        message = super().receive(timeout)
        if message is None:
            self._end_told = True
        return message

    wait = receive

    def __iter__(self) -> Iterator[str | bytes]:
        """The messages, until the websocket ends."""
        while (message := self.receive()) is not None:
            yield message

    def send(
        self, data: Data | Chunks, binary: bool | None = None, *, compress: bool | None = None
    ) -> None:
        """Send one message.

        :raises Closed: it is closed
        """
        if self.closed:
            raise self._closed_error()
        try:
            super().send(data, binary, compress=compress)
        except WebSocketClosed as error:
            raise Closed(error.code, error.reason) from error

    def _closed_error(self) -> Closed:
        return Closed(self.close_code or 1006, self.close_reason)
