"""Views and websockets that end badly, or not at all, and a view of what the process holds."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from dualws import WebSocketView, websocket
from dualws_conformance.project.state import measure
from support.project.draining import tell

_leaked: list[bytearray] = []


def _recurse(depth: int) -> int:
    return _recurse(depth + 1) + 1


def _nest() -> object:
    """Recursion that is C's, not Python's."""
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    return repr(nested)


def go_wrong(how: str) -> None:
    """End as *how* says."""
    match how:
        case "exit":
            sys.exit(3)
        case "recurse":
            _recurse(0)
        case "nest":
            _nest()
        case "interrupted":
            raise InterruptedError("not the server's")
        case "never":
            tell("never")
            while True:
                time.sleep(0.05)
        case _:
            raise AssertionError(how)


# -- HTTP ----------------------------------------------------------------------------


def page(request: HttpRequest, how: str) -> HttpResponse:
    go_wrong(how)
    return HttpResponse()


def leak(request: HttpRequest) -> HttpResponse:
    """Keeps a mebibyte that nobody will ask for again."""
    _leaked.append(bytearray(os.urandom(1)) * (1 << 20))
    return JsonResponse([os.getpid(), len(_leaked)], safe=False)


def state(request: HttpRequest) -> HttpResponse:
    return JsonResponse(measure(request.META["wsgi.server"]))


@csrf_exempt
def size(request: HttpRequest) -> HttpResponse:
    """How long the body is."""
    return HttpResponse(str(len(request.read())))


def clock(request: HttpRequest) -> HttpResponse:
    """Move the wall clock of this process."""
    sys.modules["sitecustomize"].offset[0] = float(request.GET["by"])
    return HttpResponse(str(time.time()))


# -- websockets ------------------------------------------------------------------------


@websocket
def echo(request: HttpRequest, ws: Any) -> None:
    for message in ws:
        ws.send(str(os.getpid()) if message == "who" else message)


@websocket
def endless(request: HttpRequest, ws: Any) -> None:
    """Sends for as long as it can."""
    while True:
        ws.send(bytes(1000))


@websocket
def blocking(request: HttpRequest, ws: Any) -> None:
    for message in ws:
        go_wrong(message)


class Events(WebSocketView):
    def received_message(self, message: str | bytes) -> None:
        go_wrong(str(message))


@websocket
async def coroutine(request: HttpRequest, ws: Any) -> None:
    async for message in ws:
        if message == "never":
            tell("never")
            await asyncio.Event().wait()
        go_wrong(message)


def inside(request: HttpRequest) -> HttpResponse:
    for message in request.META["wsgi.websocket"]:
        go_wrong(message)
    return HttpResponse()


_STYLES: dict[str, Callable[..., Any]] = {
    "blocking": blocking,
    "events": websocket(Events),
    "async": coroutine,
    "inside": inside,
}

urlpatterns = [
    path("state/", state),
    path("size/", size),
    path("leak/", leak),
    path("clock/", clock),
    path("echo/", echo),
    path("endless/", endless),
    path("page/<how>/", page),
    *(path(f"{name}/", view) for name, view in _STYLES.items()),
]
