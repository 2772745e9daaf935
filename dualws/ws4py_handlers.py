"""``ws4py.websocket.WebSocket`` subclasses as they are, driven by events.

Law: the subclass keeps everything of its own; only where ws4py would touch a socket does it
meet the :class:`~dualws.connection.Connection` instead.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from ws4py.messaging import BinaryMessage, PongControlMessage, TextMessage
from ws4py.websocket import WebSocket as Ws4pyWebSocket

from dualws.protocol.stream import Stream

if TYPE_CHECKING:
    from dualws.connection import Connection
    from dualws.faces import WebSocket


class Socket:
    """What a handler may ask of ``self.sock``: addresses, ``sendall`` and the end.

    :param ws: the open websocket
    """

    def __init__(self, ws: WebSocket) -> None:
        self._environ = ws.environ
        self._connection: Connection = ws.connection

    def getpeername(self) -> tuple[str, int]:
        """The client's address and port."""
        return self._environ["REMOTE_ADDR"], int(self._environ.get("REMOTE_PORT") or 0)

    def getsockname(self) -> tuple[str, int]:
        """The server's name and port."""
        return self._environ["SERVER_NAME"], int(self._environ["SERVER_PORT"] or 0)

    def sendall(self, data: bytes) -> None:
        """Send whole frames; what a slow peer has not read is buffered up to the limit.

        :raises WebSocketClosed: it is closed, or the peer reads too slowly
        """
        if not self._connection.send_nowait(bytes(data)):
            raise self._connection.closed_error()

    def shutdown(self, how: int) -> None:
        """Nothing: ``close`` follows."""

    def close(self) -> None:
        """Abort the connection."""
        self._connection.abort()


class _Driven:
    """Mixed in before the handler's class: from the driver's calls to ws4py's."""

    sock: Any
    client_terminated: bool
    server_terminated: bool

    def _use(self, ws: WebSocket) -> None:
        self._connection: Connection = ws.connection

    def close(self, code: int = 1000, reason: str | bytes = "") -> None:
        if not self.server_terminated:
            self.server_terminated = True
            text = reason.decode("utf-8") if isinstance(reason, bytes) else reason
            self._connection.close(code, text)


class Ws4pyDriver:
    """An :class:`~dualws.events.EventHandler` for a ws4py handler.

    :param kind: the subclass of ``ws4py.websocket.WebSocket``
    :param ws: the open websocket
    """

    def __init__(self, kind: type[Ws4pyWebSocket], ws: WebSocket) -> None:
        self._ws = ws
        protocols = [ws.subprotocol] if ws.subprotocol else []
        handler = _driven(cast(Hashable, kind))(Socket(ws), protocols, [], ws.environ)
        handler.stream = Stream()
        handler._use(ws)
        self._handler = handler

    def __repr__(self) -> str:
        return f"<{type(self._handler).__bases__[1].__qualname__} on {self._ws.path}>"

    def opened(self) -> None:
        self._handler.opened()

    def received_message(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self._handler.received_message(TextMessage(message))
        else:
            self._handler.received_message(BinaryMessage(message))

    def ponged(self, data: bytes) -> None:
        self._handler.ponged(PongControlMessage(data))

    def draining(self) -> None:
        draining = getattr(self._handler, "draining", None)
        if callable(draining):
            draining()

    def closed(self, code: int, reason: str) -> None:
        handler = self._handler
        handler.client_terminated = handler.server_terminated = True
        handler.closed(code, reason)


@cache
def _driven(kind: Hashable) -> type[Any]:
    assert isinstance(kind, type)
    return type(kind.__name__, (_Driven, kind), {"__module__": kind.__module__})
