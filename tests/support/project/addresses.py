"""One address for pages and websockets, in every kind of view; names, converters, includes."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import include, path, re_path, reverse
from django.views import View
from django.views.generic import TemplateView

from dualws import WebSocketMixin, WebSocketView, websocket


@websocket
def room(request: HttpRequest, ws: Any, name: str, number: int) -> None:
    """Tells its arguments and its own address."""
    address = reverse("rooms:room", kwargs={"name": name, "number": number})
    match = request.resolver_match
    assert match is not None
    ws.send(json.dumps([name, number, address, match.view_name]))


class RoomEvents(WebSocketView):
    """The same, called for events."""

    def opened(self) -> None:
        match = self.request.resolver_match
        assert match is not None
        address = reverse("rooms:events", kwargs=self.kwargs)
        self.ws.send(json.dumps([*self.kwargs.values(), address, match.view_name]))


@websocket
def positional(request: HttpRequest, ws: Any, first: str, second: str) -> None:
    """Tells arguments without names."""
    ws.send(json.dumps([first, second]))


def both(request: Any, word: str) -> HttpResponseBase:
    """A page, and a websocket at the same address."""
    if request.is_websocket:
        return both_socket(request, word)
    return HttpResponse(f"page {word} {request.websocket}")


@websocket
def both_socket(request: Any, ws: Any, word: str) -> None:
    """The websocket of :func:`both`."""
    assert request.websocket is ws or request.websocket.connection is ws.connection
    ws.send(f"socket {word}")


def accepts(request: Any) -> HttpResponse:
    """Accepts ``request.websocket`` inside the view."""
    ws = request.websocket
    if ws is None:
        return HttpResponse("no websocket", status=400)
    ws.send(f"{ws.request is request} {ws.user}")
    ws.receive()
    return HttpResponse()


class Blocking(WebSocketMixin, View):
    """A class with a page, a form and a websocket."""

    subprotocols = ("chat.v1",)

    def get(self, request: HttpRequest, word: str) -> HttpResponse:
        """The page."""
        return HttpResponse(f"page {word}")

    def websocket(self, request: HttpRequest, ws: Any, word: str) -> None:
        """The websocket."""
        ws.send(f"socket {word} {self.kwargs['word']} {ws.subprotocol}")


class Asynchronous(WebSocketMixin, View):
    """The same, asynchronous on both sides."""

    async def get(self, request: HttpRequest, word: str) -> HttpResponse:
        """The page."""
        return HttpResponse(f"page {word}")

    async def websocket(self, request: HttpRequest, ws: Any, word: str) -> None:
        """The websocket."""
        await ws.send(f"socket {word} {self.kwargs['word']} {ws.subprotocol}")


class Greeter(WebSocketView):
    """The events of :class:`WithEvents`."""

    def opened(self) -> None:
        self.ws.send(f"socket {self.kwargs['word']} {self.kwargs['word']} {self.ws.subprotocol}")


class WithEvents(WebSocketMixin, TemplateView):
    """The same with a handler for events."""

    subprotocols = ("chat.v1",)
    websocket = Greeter

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The page."""
        return HttpResponse(f"page {kwargs['word']}")


class Spoken(WebSocketView):
    """Names its subprotocols and its compression itself."""

    subprotocols = ("chat.v2", "chat.v1")
    compression = False

    def opened(self) -> None:
        self.ws.send(f"{self.ws.subprotocol}")


rooms = [
    path("<slug:name>/<int:number>/", room, name="room"),
    path("<slug:name>/<int:number>/events/", RoomEvents.as_view(), name="events"),
]

urlpatterns = [
    path("rooms/", include((rooms, "rooms"))),
    re_path(r"^positional/([a-z]+)-([0-9]+)/$", positional),
    path("both/<slug:word>/", both),
    path("accepts/", accepts),
    path("blocking/<slug:word>/", Blocking.as_view()),
    path("asynchronous/<slug:word>/", Asynchronous.as_view()),
    path("with-events/<slug:word>/", WithEvents.as_view()),
    path("spoken/", Spoken.as_view()),
]
