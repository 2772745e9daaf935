"""Websocket views for peers, and for iterators, that take their time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import path
from ws4py.websocket import WebSocket as Ws4pyWebSocket

from dualws import WebSocketClosed, WebSocketView, websocket
from support.notes import note, wait_for_release

#: A state of ``tcp_info``.
_TCP_CLOSE = 7
_LONG = "x" * 500_000


@websocket
def nested(request: HttpRequest, ws: Any) -> None:
    """Sends a message in fragments that tells what sending another one inside it comes to."""

    def chunks() -> Iterator[str]:
        yield "one "
        try:
            ws.send(iter(["inner"]))
        except RuntimeError as error:
            yield str(error)

    ws.send(chunks())


@websocket
async def nested_async(request: HttpRequest, ws: Any) -> None:
    """The same in a coroutine."""

    async def chunks() -> AsyncIterator[str]:
        yield "one "
        try:
            await ws.send(iter(["inner"]))
        except RuntimeError as error:
            yield str(error)

    await ws.send(chunks())


@websocket
async def impatient(request: HttpRequest, ws: Any) -> None:
    """Sends with a time limit, again and again, and notes how much waits for the peer then."""
    message = bytes(256 * 1024)
    stopped = 0
    while stopped < 40:
        try:
            await asyncio.wait_for(ws.send(message), 0.01)
        except TimeoutError:
            stopped += 1
    note(request.GET["key"], ws.connection._transport.buffered)


@websocket
def held(request: HttpRequest, ws: Any) -> None:
    """Sends a message in fragments; another is sent, and the websocket closed, in the midst."""
    key = request.GET["key"]

    def chunks() -> Iterator[str]:
        yield "one "
        note(key, "begun")
        wait_for_release(key)
        yield "two"

    def others() -> None:
        ws.receive()
        ws.send("three")
        ws.close(4001, "done")
        note(key, "closed")

    ws.connection.runtime.spawn(others)
    ws.send(chunks())


@websocket
def deaf(request: HttpRequest, ws: Any) -> None:
    """Does not read before the test says so; notes how many messages there were, and the end."""
    key = request.GET["key"]
    note(key, "deaf")
    wait_for_release(key)
    count = sum(1 for _ in ws)
    note(key, [count, ws.close_code, ws.close_reason])


class Busy(WebSocketView):
    """Waits for the test when it is opened, then echoes."""

    def opened(self) -> None:
        """Wait."""
        note(self.request.GET["key"], "busy")
        wait_for_release(self.request.GET["key"])

    def received_message(self, message: str | bytes) -> None:
        """Echo."""
        self.ws.send(message)


@websocket
async def busy_async(request: HttpRequest, ws: Any) -> None:
    """The same in a coroutine, which waits in a thread."""
    key = request.GET["key"]
    note(key, "busy")
    await asyncio.to_thread(wait_for_release, key)
    async for message in ws:
        await ws.send(message)


def talk(request: HttpRequest, ws: Any) -> None:
    """Says so, keeps the loop from all else until the peer is gone, then does nothing but send."""
    ws.send(b"here")
    sock = ws.connection._transport._sock
    # A loop in another thread may have closed it already.
    with contextlib.suppress(OSError):
        while sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != _TCP_CLOSE:
            """Busy on purpose."""
    try:
        for _ in range(100_000):
            ws.send(b"x")
        note(request.GET["key"], "nobody noticed")
    except WebSocketClosed as error:
        note(request.GET["key"], error.code)


@websocket
def talkative(request: HttpRequest, ws: Any) -> None:
    """Talks once it is spoken to."""
    ws.receive()
    talk(request, ws)


class Talkative(WebSocketView):
    """The same, called for events."""

    def received_message(self, message: str | bytes) -> None:
        """Talk."""
        talk(self.request, self.ws)


@websocket
def echo(request: HttpRequest, ws: Any) -> None:
    """Sends back what comes."""
    for message in ws:
        ws.send(message)


def doubtful(request: HttpRequest) -> HttpResponseBase:
    """A handshake that is answered when the test says so."""
    key = request.GET["key"]
    note(key, "asked")
    wait_for_release(key)
    return echo(request)


@websocket
def teller(request: HttpRequest, ws: Any) -> None:
    """Sends a message each time the test says so, ten times."""
    for number in range(10):
        wait_for_release(request.GET["key"])
        ws.send(str(number))


@websocket
def endless(request: HttpRequest, ws: Any) -> None:
    """Sends for as long as the peer is there, and waits for nothing else."""
    while True:
        ws.send("x")


@websocket
def endless_long(request: HttpRequest, ws: Any) -> None:
    """The same with messages that take long to compress, and are short then."""
    while True:
        ws.send(_LONG)


@websocket
async def endless_long_async(request: HttpRequest, ws: Any) -> None:
    """The same in a coroutine."""
    while True:
        await ws.send(_LONG)


@websocket
def endless_fragments(request: HttpRequest, ws: Any) -> None:
    """The same as one message."""
    ws.send(itertools.repeat("x"))


@websocket
async def endless_async(request: HttpRequest, ws: Any) -> None:
    """The same in a coroutine."""
    while True:
        await ws.send("x")


@websocket
async def endless_fragments_async(request: HttpRequest, ws: Any) -> None:
    """The same as one message of a coroutine."""
    await ws.send(itertools.repeat("x"))


class Ws4pyEndless(Ws4pyWebSocket):  # type: ignore[misc]  # ws4py has no types
    """The same in a handler of ws4py."""

    def opened(self) -> None:
        """Send without end."""
        while True:
            self.send("x")


class Endless(WebSocketView):
    """The same in a handler that is called for events."""

    def opened(self) -> None:
        """Send without end."""
        while True:
            self.ws.send("x")


urlpatterns = [
    path("endless/", endless),
    path("endless/fragments/", endless_fragments),
    path("endless/async/", endless_async),
    path("endless/long/", endless_long),
    path("endless/long/async/", endless_long_async),
    path("endless/fragments/async/", endless_fragments_async),
    path("endless/events/", websocket(Endless)),
    path("endless/ws4py/", websocket(Ws4pyEndless)),
    path("doubtful/", doubtful),
    path("teller/", teller),
    path("deaf/", deaf),
    path("nested/", nested),
    path("nested/async/", nested_async),
    path("impatient/", impatient),
    path("held/", held),
    path("busy/events/", websocket(Busy)),
    path("busy/async/", busy_async),
    path("talkative/", talkative),
    path("talkative/events/", websocket(Talkative)),
]
