"""The echo, as a blocking view."""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import path

from dualws import websocket
from dualws.faces import WebSocket


@websocket
def echo(request: HttpRequest, ws: WebSocket) -> None:
    for message in ws:
        ws.send(message)


urlpatterns = [path("echo/", echo)]
