"""Websocket views that choose how they are compressed."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path
from ws4py.messaging import TextMessage
from ws4py.websocket import WebSocket as Ws4pyWebSocket

from dualws import websocket

CHOICES = {"yes": True, "no": False, "auto": None}


@websocket
def choose(request: HttpRequest, ws: Any) -> None:
    """Answers ``CHOICE SIZE`` with a text of that size, compressed by that choice."""
    for message in ws:
        choice, size = message.split()
        ws.send("x" * int(size), compress=CHOICES[choice])


@websocket(compression=False)
def never(request: HttpRequest, ws: Any) -> None:
    """Echoes, and agrees on no compression."""
    for message in ws:
        ws.send(message, compress=True)


@websocket(compression=True)
def always(request: HttpRequest, ws: Any) -> None:
    """Echoes, and agrees on compression also where the setting is off."""
    for message in ws:
        ws.send(message)


@websocket
async def in_async(request: HttpRequest, ws: Any) -> None:
    """Echoes from a coroutine, every message compressed."""
    async for message in ws:
        await ws.send(message, compress=True)


def inside(request: HttpRequest) -> HttpResponse:
    """Accepts inside the view, without compression."""
    ws = request.META["wsgi.websocket"]
    ws.accept(compression=False)
    for message in ws:
        ws.send(message)
    return HttpResponse()


class Ws4pySender(Ws4pyWebSocket):
    """Answers ``KIND SIZE`` as one of ws4py's ways to send does it."""

    def received_message(self, message: Any) -> None:
        kind, size = str(message).split()
        text = "x" * int(size)
        match kind:
            case "text":
                self.send(text)
            case "binary":
                self.send(bytearray(text.encode()), binary=True)
            case "message":
                self.send(TextMessage(text))
            case "chunks":
                self.send(chunk for chunk in (text, "y"))
            case "ping":
                self.ping(text)


urlpatterns = [
    path("choose/", choose),
    path("never/", never),
    path("always/", always),
    path("async/", in_async),
    path("inside/", inside),
    path("ws4py/", websocket(Ws4pySender)),
]
