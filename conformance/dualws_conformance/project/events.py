"""The handlers of :mod:`~dualws_conformance.project.handlers`, called for events.

Law: a :class:`Reaction` is told what happens, and knows no style: one class serves as a
``WebSocketView`` and as a ``ws4py.websocket.WebSocket``. Nothing in it waits for the client.
"""

from __future__ import annotations

from typing import Any, Protocol

from django.http import HttpRequest, HttpResponseBase
from ws4py.websocket import WebSocket

from dualws import WebSocketView, websocket
from dualws.errors import WebSocketClosed
from dualws_conformance.project.handlers import (
    SUBPROTOCOLS,
    code_and_reason,
    digest_of,
    is_connected_alike,
    key_of,
    numbered,
    seen_by,
)
from dualws_conformance.project.notes import note, wait_for_release


class Voice(Protocol):
    """How a reaction answers."""

    def send(self, data: str | bytes, /) -> None: ...

    def ping(self, data: bytes, /) -> None: ...

    def close(self, code: int = 1000, reason: str = "") -> None: ...


class Reaction:
    """What one websocket does: nothing.

    :param request: the handshake
    :param ws: ``environ["wsgi.websocket"]``
    :param voice: answers
    """

    def __init__(self, request: HttpRequest, ws: Any, voice: Voice) -> None:
        self.request = request
        self.ws = ws
        self.voice = voice
        self.key = key_of(request)

    def opened(self) -> None:
        """The websocket is open."""

    def received(self, message: str | bytes) -> None:
        """A message came."""

    def closed(self, code: int, reason: str) -> None:
        """The websocket has ended."""


class Echo(Reaction):
    """Send back what comes; note the end, and what a further ``receive`` says."""

    def received(self, message: str | bytes) -> None:
        self.voice.send(message)

    def closed(self, code: int, reason: str) -> None:
        if self.key:
            note(self.key, [code, reason, self.ws.receive(), self.ws.closed])


class Gulp(Reaction):
    """Answer each message with its kind, length and digest."""

    def received(self, message: str | bytes) -> None:
        self.voice.send(digest_of(message))


class Report(Reaction):
    """Tell what a handler sees; lives until the client goes."""

    def opened(self) -> None:
        same = is_connected_alike(self.request, self.ws)
        self.voice.send(seen_by(self.request, self.ws, same))

    def received(self, message: str | bytes) -> None:
        self.voice.close()


class Busy(Echo):
    """Be elsewhere until released, then echo; note the end."""

    def opened(self) -> None:
        self.voice.send("busy")
        note(self.key + ".busy", "busy")
        wait_for_release(self.key)


class Closes(Reaction):
    """Close with the first message's code and reason; note what the handler sees then."""

    late: str | bytes | None = None

    def received(self, message: str | bytes) -> None:
        if self.ws.closed:
            self.late = message
            return
        self.voice.close(*code_and_reason(message))
        self.voice.close(3999, "a second close")

    def closed(self, code: int, reason: str) -> None:
        seen = [self.ws.closed, self.late or self.ws.receive(), code, reason]
        try:
            self.ws.send("after the close")
            seen.append("sent")
        except WebSocketClosed as error:
            seen.append(type(error).__name__)
        note(self.key, seen)


class Returns(Reaction):
    """End after one message."""

    def opened(self) -> None:
        self.voice.send("first and last")
        self.voice.close()


class Crashes(Reaction):
    """Raise after the first message."""

    def received(self, message: str | bytes) -> None:
        raise RuntimeError("the handler's own bug")


class Sends(Reaction):
    """Send ``count`` numbered binary messages of ``size`` bytes; note how many were taken."""

    def opened(self) -> None:
        size = int(self.request.GET["size"])
        done = 0
        try:
            for number in range(int(self.request.GET["count"])):
                self.voice.send(numbered(number, size))
                done += 1
        finally:
            if self.key:
                note(self.key, done)


class Asks(Echo):
    """Ping the client, then echo: the pong must not be taken for a message."""

    def opened(self) -> None:
        self.voice.ping(b"are you there")


def _view_of(kind: type[Reaction]) -> type[WebSocketView]:
    class View(WebSocketView):
        subprotocols = SUBPROTOCOLS

        def opened(self) -> None:
            self.reaction = kind(self.request, self.ws, self.ws)
            self.reaction.opened()

        def received_message(self, message: str | bytes) -> None:
            self.reaction.received(message)

        def closed(self, code: int, reason: str) -> None:
            self.reaction.closed(code, reason)

    return View


class _Ws4pyVoice:
    def __init__(self, handler: Any) -> None:
        self._handler = handler

    def send(self, data: str | bytes) -> None:
        self._handler.send(data, binary=isinstance(data, bytes))

    def ping(self, data: bytes) -> None:
        self._handler.ping(data)

    def close(self, code: int = 1000, reason: str = "") -> None:
        self._handler.close(code, reason)


def _ws4py_of(kind: type[Reaction]) -> type[Any]:
    class Handler(WebSocket):  # type: ignore[misc]  # ws4py has no types
        def opened(self) -> None:
            ws = self.environ["wsgi.websocket"]
            self.reaction = kind(ws.request, ws, _Ws4pyVoice(self))
            self.reaction.opened()

        def received_message(self, message: Any) -> None:
            self.reaction.received(message.data if message.is_binary else str(message))

        def closed(self, code: int, reason: str | None = None) -> None:
            self.reaction.closed(code, reason or "")

    return Handler


_REACTIONS: dict[str, type[Reaction]] = {
    kind.__name__.lower(): kind
    for kind in (Echo, Gulp, Report, Busy, Closes, Returns, Crashes, Sends, Asks)
}
_EVENTS = {name: websocket(_view_of(kind)) for name, kind in _REACTIONS.items()}
_WS4PY = {
    name: websocket(subprotocols=SUBPROTOCOLS)(_ws4py_of(kind)) for name, kind in _REACTIONS.items()
}


def view(request: HttpRequest, name: str) -> HttpResponseBase:
    """The reaction *name* as a ``WebSocketView``."""
    return _EVENTS[name](request)


def ws4py(request: HttpRequest, name: str) -> HttpResponseBase:
    """The reaction *name* as a ``ws4py.websocket.WebSocket``."""
    return _WS4PY[name](request)
