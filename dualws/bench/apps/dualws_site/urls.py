"""The echo in the three styles of a view."""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import path

from dualws import WebSocketView, websocket
from dualws.async_face import AsyncWebSocket
from dualws.faces import WebSocket


@websocket
def echo(request: HttpRequest, ws: WebSocket) -> None:
    for message in ws:
        ws.send(message)


@websocket
async def echo_async(request: HttpRequest, ws: AsyncWebSocket) -> None:
    async for message in ws:
        await ws.send(message)


class Echo(WebSocketView):
    def received_message(self, message: str | bytes) -> None:
        self.ws.send(message)


urlpatterns = [
    path("echo/", echo),
    path("async/", echo_async),
    path("events/", websocket(Echo)),
]
