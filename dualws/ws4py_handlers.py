"""``ws4py.websocket.WebSocket`` subclasses as they are, driven by events.

Law: the subclass keeps everything of its own; only where ws4py would touch a socket does it
meet the :class:`~dualws.connection.Connection` instead.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from types import GeneratorType
from typing import TYPE_CHECKING, Any, cast

from ws4py.framing import OPCODE_BINARY, OPCODE_TEXT
from ws4py.messaging import BinaryMessage, Message, PongControlMessage, TextMessage
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


class _Driven(Ws4pyWebSocket):  # type: ignore[misc]  # ws4py has no types
    """ws4py's own class as it is here: the handler's class comes before it, so overrides count."""

    sock: Any
    server_terminated: bool

    def _use(self, ws: WebSocket) -> None:
        self._dualws = ws

    def send(self, payload: Any, binary: bool = False) -> None:
        """Send a message as ``ws.send()`` does: compressed by the same rules, within the buffer.

        :param payload: ``str``, ``bytes``, ``bytearray``, a message of ws4py's, or a generator
            whose chunks go out as fragments
        :param binary: whether it is a binary message
        :raises RuntimeError: the websocket is closed
        :raises WebSocketClosed: it is just being closed, or the peer reads too slowly
        """
        data: Any = payload
        if isinstance(payload, Message):
            if payload.opcode not in (OPCODE_TEXT, OPCODE_BINARY):
                super().send(payload)  # a ping or a pong
                return
            data, binary = payload.data, payload.opcode == OPCODE_BINARY
        elif not isinstance(payload, str | bytes | bytearray | GeneratorType):
            super().send(payload)  # tells what it takes
        if self.terminated or self.sock is None:
            raise RuntimeError("Cannot send on a terminated websocket")
        self._dualws.send(data, bool(binary))

    def close(self, code: int = 1000, reason: str | bytes = "") -> None:
        if not self.server_terminated:
            self.server_terminated = True
            text = reason.decode("utf-8") if isinstance(reason, bytes) else reason
            self._dualws.connection.close(code, text)


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
        return f"<{type(self._handler).__bases__[0].__qualname__} on {self._ws.path}>"

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
    if kind is Ws4pyWebSocket:  # which does nothing, and cannot come before its own subclass
        return _Driven
    return type(kind.__name__, (kind, _Driven), {"__module__": kind.__module__})
