"""Handlers that end in ways that ``except Exception`` does not see, or before they begin."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, NoReturn

from django.http import HttpRequest
from django.urls import path
from ws4py.websocket import WebSocket as Ws4pyWebSocket

from dualws import WebSocketView, websocket
from support.notes import note


@websocket
def blocking(request: HttpRequest, ws: Any) -> None:
    ws.receive()
    sys.exit("blocking")


class Events(WebSocketView):
    def received_message(self, message: str | bytes) -> None:
        sys.exit("events")

    def closed(self, code: int, reason: str) -> None:
        note(self.request.GET["key"], [code, reason])


@websocket
async def coroutine(request: HttpRequest, ws: Any) -> None:
    await ws.receive()
    sys.exit("async")


@websocket
async def with_task(request: HttpRequest, ws: Any) -> None:
    """Starts a task that ends so, and echoes what comes after it."""

    async def leave() -> None:
        sys.exit("task")

    await ws.receive()
    task = asyncio.create_task(leave())
    while (message := await ws.receive()) is not None:
        await ws.send(f"{message} after {task.exception()!r}")


@websocket
async def with_reader(request: HttpRequest, ws: Any) -> None:
    """Leaves receiving to a task, which ends so when it has a message, or at the end of all."""

    async def read() -> None:
        sys.exit(f"reader: {await ws.receive()}")

    task = asyncio.create_task(read())
    await asyncio.wait({task})
    error = task.exception()
    assert error is not None
    note(request.GET["key"], [repr(error), repr(error.__context__)])
    async for message in ws:
        await ws.send(message)


def inside(request: HttpRequest) -> NoReturn:
    request.META["wsgi.websocket"].receive()
    sys.exit("inside")


class Unmade(Ws4pyWebSocket):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError("ws4py's handler cannot be made")


urlpatterns = [
    path("blocking/", blocking),
    path("events/", websocket(Events)),
    path("async/", coroutine),
    path("inside/", inside),
    path("task/", with_task),
    path("reader/", with_reader),
    path("unmade/", websocket(Unmade)),
]
