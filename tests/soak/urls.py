"""Views of the soak."""

from __future__ import annotations

import contextlib
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from dualws import WebSocketClosed, WebSocketView, websocket
from dualws_conformance.project.state import measure


@websocket
def blocking(request: HttpRequest, ws: Any) -> None:
    for message in ws:
        ws.send(message)


class Events(WebSocketView):
    def received_message(self, message: str | bytes) -> None:
        self.ws.send(message)


@websocket
async def coroutine(request: HttpRequest, ws: Any) -> None:
    async for message in ws:
        await ws.send(message)


@websocket
def firehose(request: HttpRequest, ws: Any) -> None:
    """Sends for as long as somebody takes it."""
    with contextlib.suppress(WebSocketClosed):
        while True:
            ws.send(bytes(32 * 1024))


def refusing(request: HttpRequest) -> HttpResponse:
    return HttpResponse("no", status=403)


def state(request: HttpRequest) -> HttpResponse:
    return JsonResponse(measure(request.META["wsgi.server"]))


@csrf_exempt
def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(len(request.read())))


urlpatterns = [
    path("state/", state),
    path("page/", page),
    path("blocking/", blocking),
    path("events/", websocket(Events)),
    path("async/", coroutine),
    path("firehose/", firehose),
    path("refusing/", refusing),
]
