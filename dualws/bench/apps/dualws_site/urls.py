"""Echo, fan-out and a handshake that looks at its user, in the three styles of a view."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseForbidden
from django.http.response import HttpResponseBase
from django.urls import path
from site_views import hello

from dualws import WebSocketView, publish, websocket
from dualws.async_face import AsyncWebSocket
from dualws.faces import WebSocket

ROOM = "everybody"
View = Callable[[HttpRequest], HttpResponseBase]


@websocket
def echo(request: HttpRequest, ws: WebSocket) -> None:
    for message in ws:
        ws.send(message)


@websocket
def fan_out(request: HttpRequest, ws: WebSocket) -> None:
    ws.subscribe(ROOM)
    ws.send("ready")
    for message in ws:
        publish(ROOM, message)


@websocket
async def echo_async(request: HttpRequest, ws: AsyncWebSocket) -> None:
    async for message in ws:
        await ws.send(message)


@websocket
async def fan_out_async(request: HttpRequest, ws: AsyncWebSocket) -> None:
    ws.subscribe(ROOM)
    await ws.send("ready")
    async for message in ws:
        publish(ROOM, message)


class Echo(WebSocketView):
    def received_message(self, message: str | bytes) -> None:
        self.ws.send(message)


class FanOut(WebSocketView):
    def opened(self) -> None:
        self.ws.subscribe(ROOM)
        self.ws.send("ready")

    def received_message(self, message: str | bytes) -> None:
        publish(ROOM, message)


def with_user(view: View) -> View:
    """*view*, after a look at who asks: in the request, as a project that checks it would."""

    def looks(request: HttpRequest) -> HttpResponseBase:
        if request.COOKIES and not request.user.is_authenticated:
            return HttpResponseForbidden("the load's session is not that of a user")
        return view(request)

    return looks


views = {
    "": (echo, fan_out),
    "async/": (echo_async, fan_out_async),
    "events/": (websocket(Echo), websocket(FanOut)),
}
urlpatterns = [path("http/", hello)]
for prefix, (echoing, sharing) in views.items():
    urlpatterns += [
        path(f"{prefix}echo/", echoing),
        path(f"{prefix}fan-out/", sharing),
        path(f"{prefix}user/", with_user(echoing)),
    ]
