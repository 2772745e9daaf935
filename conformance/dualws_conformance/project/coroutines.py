"""The handlers of :mod:`~dualws_conformance.project.handlers` as coroutines.

Law: an ``async def`` differs from its namesake by ``await`` alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase

from dualws import websocket
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

Handler: TypeAlias = Callable[[HttpRequest, Any], Awaitable[None]]


async def echo(request: HttpRequest, ws: Any) -> None:
    """Send back what comes; note the end, and what a further ``receive`` says."""
    try:
        while (message := await ws.receive()) is not None:
            await ws.send(message)
    finally:
        if key_of(request):
            end = [ws.close_code, ws.close_reason, await ws.receive(), ws.closed]
            note(key_of(request), end)


async def gulp(request: HttpRequest, ws: Any) -> None:
    """Answer each message with its kind, length and digest."""
    async for message in ws:
        await ws.send(digest_of(message))


async def report(request: HttpRequest, ws: Any) -> None:
    """Tell what a handler sees; lives until the client goes."""
    await ws.send(seen_by(request, ws, is_connected_alike(request, ws)))
    await ws.receive()


async def busy(request: HttpRequest, ws: Any) -> None:
    """Be elsewhere until released, then echo; note the end."""
    await ws.send("busy")
    note(key_of(request) + ".busy", "busy")
    await sync_to_async(wait_for_release, thread_sensitive=False)(key_of(request))
    await echo(request, ws)


async def closes(request: HttpRequest, ws: Any) -> None:
    """Close with the first message's code and reason; note what the handler sees then."""
    ws.close(*code_and_reason(await ws.receive()))
    ws.close(3999, "a second close")
    seen = [ws.closed, await ws.receive(), ws.close_code, ws.close_reason]
    try:
        await ws.send("after the close")
        seen.append("sent")
    except WebSocketClosed as error:
        seen.append(type(error).__name__)
    note(key_of(request), seen)


async def returns(request: HttpRequest, ws: Any) -> None:
    """End after one message."""
    await ws.send("first and last")


async def crashes(request: HttpRequest, ws: Any) -> None:
    """Raise after the first message."""
    await ws.receive()
    raise RuntimeError("the handler's own bug")


async def sends(request: HttpRequest, ws: Any) -> None:
    """Send ``count`` numbered binary messages of ``size`` bytes; note how many were taken."""
    size = int(request.GET["size"])
    done = 0
    try:
        for number in range(int(request.GET["count"])):
            await ws.send(numbered(number, size))
            done += 1
    finally:
        if key_of(request):
            note(key_of(request), done)
    await ws.receive()


async def waits(request: HttpRequest, ws: Any) -> None:
    """Tell that nothing came in time, then echo one message."""
    try:
        await ws.receive(timeout=0.05)
    except TimeoutError:
        await ws.send("nothing came")
    await ws.send(await ws.receive())


async def asks(request: HttpRequest, ws: Any) -> None:
    """Ping the client, then echo: the pong must not be taken for a message."""
    ws.ping(b"are you there")
    await echo(request, ws)


_HANDLERS: tuple[Handler, ...] = (
    *(echo, gulp, report, busy, closes, returns, crashes, sends, waits, asks),
)
_VIEWS = {handler.__name__: websocket(subprotocols=SUBPROTOCOLS)(handler) for handler in _HANDLERS}


def view(request: HttpRequest, name: str) -> HttpResponseBase:
    """The coroutine *name* as a ``@websocket`` view."""
    return _VIEWS[name](request)
