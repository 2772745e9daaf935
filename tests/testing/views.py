"""Views that the testing tools are tried on, beside those of the test project."""

from __future__ import annotations

import asyncio
import datetime
import json
import threading
import uuid
from collections.abc import Iterator
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import permission_required
from django.contrib.auth.models import Group
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import include, path

from dualws import AsyncWebSocket, InvalidMessage, WebSocket, WebSocketView, publish, websocket

#: Lets :func:`stuck` go on.
released = threading.Event()


@websocket
def json_echo(request: HttpRequest, ws: WebSocket) -> None:
    """JSON in, JSON out; what is no JSON is said to be none."""
    while True:
        try:
            value = ws.receive_json()
        except InvalidMessage as error:
            ws.send(f"invalid: {error}")
        else:
            ws.send_json({"value": value})


@websocket
async def async_json_echo(request: HttpRequest, ws: AsyncWebSocket) -> None:
    """The same as a coroutine."""
    while True:
        try:
            value = await ws.receive_json()
        except InvalidMessage as error:
            await ws.send(f"invalid: {error}")
        else:
            await ws.send_json({"value": value})


@websocket
def careless_json(request: HttpRequest, ws: WebSocket) -> None:
    """Leaves it to dualws what happens to messages that are no JSON."""
    while True:
        ws.receive_json()


class CarelessJson(WebSocketView):
    """The same, called for events."""

    def received_message(self, message: str | bytes) -> None:
        raise InvalidMessage("not what was asked for", message)


@websocket
def rich_json(request: HttpRequest, ws: WebSocket) -> None:
    """What Django's encoder knows, and what no JSON can hold."""
    ws.send_json({"day": datetime.date(2026, 11, 22), "id": uuid.UUID(int=5)})
    for value in (float("nan"), object()):
        try:
            ws.send_json(value)
        except (TypeError, ValueError) as error:
            ws.send(type(error).__name__)


def _chunks(kind: str) -> Iterator[Any]:
    if kind == "text":
        yield from ("one, ", "zwei — ", "", "trois")
    elif kind == "large":
        yield from ("0123456789" * 1000 for _ in range(20))
    elif kind == "bytes":
        yield from (b"\0\1", bytearray(b"\2"), memoryview(b"\3"))
    elif kind == "one":
        yield "alone"
    elif kind == "mixed":
        yield from ("text", "more", b"bytes")
    elif kind == "breaks":
        yield from ("a", "b")
        raise ZeroDivisionError("in the generator")
    elif kind == "early":
        raise ZeroDivisionError("before the first chunk")


@websocket
def fragments(request: HttpRequest, ws: WebSocket) -> None:
    """Sends what the client names, chunk by chunk."""
    for kind in ws:
        assert isinstance(kind, str)
        try:
            ws.send(_chunks(kind))
        except (TypeError, ZeroDivisionError) as error:
            if ws.closed:
                raise
            ws.send(f"{type(error).__name__}: {error}")


class EventFragments(WebSocketView):
    """The same, called for events."""

    def received_message(self, message: str | bytes) -> None:
        assert isinstance(message, str)
        try:
            self.ws.send(_chunks(message))
        except (TypeError, ZeroDivisionError) as error:
            if self.ws.closed:
                raise
            self.ws.send(f"{type(error).__name__}: {error}")


@websocket
async def async_fragments(request: HttpRequest, ws: AsyncWebSocket) -> None:
    """The same as a coroutine, whose chunks are waited for."""

    async def waited(kind: str) -> Any:
        for chunk in _chunks(kind):
            await asyncio.sleep(0)
            yield chunk

    async for kind in ws:
        assert isinstance(kind, str)
        try:
            await ws.send(waited(kind))
        except (TypeError, ZeroDivisionError) as error:
            if ws.closed:
                raise
            await ws.send(f"{type(error).__name__}: {error}")


@websocket
def interrupted(request: HttpRequest, ws: WebSocket) -> None:
    """Others send while a message is under way."""

    def chunks() -> Iterator[str]:
        yield "be"
        ws.ping(b"between")
        yield "gin"
        publish("interrupted", "published")
        ws.send("sent" * 1000)
        yield "ning"

    ws.subscribe("interrupted")
    ws.send(chunks())
    ws.send("end")


@websocket
def two_writers(request: HttpRequest, ws: WebSocket) -> None:
    """Two send in fragments at the same time; each message comes whole."""
    runtime = ws.connection.runtime
    began, ended = runtime.waiter(), runtime.waiter()

    def second() -> None:
        began.wake()
        ws.send(iter(("se", "cond")))
        ended.wake()

    def chunks() -> Iterator[str]:
        yield "fi"
        runtime.spawn(second)
        began.wait()
        yield "rst"

    ws.send(chunks())
    ended.wait()


@websocket
def add_user(request: HttpRequest, ws: WebSocket) -> None:
    """Stores a user for each message and tells how many there are."""
    for name in ws:
        with transaction.atomic():
            get_user_model().objects.create(username=str(name))
        ws.send_json(get_user_model().objects.count())


class EventAddUser(WebSocketView):
    """The same, called for events."""

    def received_message(self, message: str | bytes) -> None:
        get_user_model().objects.create(username=str(message))
        self.ws.send_json(get_user_model().objects.count())


@websocket
async def async_add_user(request: HttpRequest, ws: AsyncWebSocket) -> None:
    """The same with the asynchronous ORM."""
    async for name in ws:
        await get_user_model().objects.acreate(username=str(name))
        await ws.send_json(await get_user_model().objects.acount())


@websocket
def add_group_late(request: HttpRequest, ws: WebSocket) -> None:
    """Stores a group after the answer has gone, and another after the end."""
    for name in ws:
        ws.send("stored")
        Group.objects.create(name=str(name))
    Group.objects.create(name="at the end")


@websocket
def stuck(request: HttpRequest, ws: WebSocket) -> None:
    """Waits for something that is not the client."""
    ws.receive()
    released.wait(30)


def slow(request: HttpRequest) -> HttpResponse:
    """Does not answer the handshake for a long time."""
    return wait_for_it()


def wait_for_it() -> HttpResponse:
    """Where :func:`slow` is found."""
    released.wait(30)
    return HttpResponse(status=503)


@websocket
def raises(request: HttpRequest, ws: WebSocket) -> None:
    """Answers once, then fails."""
    ws.send("first")
    ws.receive()
    raise LookupError("the handler's own bug")


class EventRaises(WebSocketView):
    """The same, called for events."""

    def opened(self) -> None:
        self.ws.send("first")

    def received_message(self, message: str | bytes) -> None:
        raise LookupError("the handler's own bug")


@websocket
async def async_raises(request: HttpRequest, ws: AsyncWebSocket) -> None:
    """The same as a coroutine."""
    await ws.send("first")
    await ws.receive()
    raise LookupError("the handler's own bug")


def raises_inside(request: HttpRequest) -> HttpResponseBase:
    """Accepts within the view, then fails there."""
    ws = request.META["wsgi.websocket"]
    ws.send("first")
    ws.receive()
    raise LookupError("the handler's own bug")


@permission_required("auth.view_user", raise_exception=True)
@websocket
def permitted(request: HttpRequest, ws: WebSocket) -> None:
    """Only for some."""
    ws.send(ws.user.get_username())


@websocket
def state(request: HttpRequest, ws: WebSocket) -> None:
    """What ``ws`` knows, and the pongs it gets through receive()."""
    for _ in ws:
        ws.send_json(
            {
                "draining": ws.draining,
                "closed": ws.closed,
                "code": ws.close_code,
                "reason": ws.close_reason,
                "subprotocol": ws.subprotocol,
                "user": str(ws.user),
                "header": ws.request.headers.get("X-Test"),
                "query": ws.request.GET.dict(),
                "secure": ws.request.is_secure(),
                "host": ws.request.get_host(),
            }
        )


@websocket
def draining(request: HttpRequest, ws: WebSocket) -> None:
    """Notes whether it knew that the server stops when its websocket was closed."""
    for _ in ws:
        ws.send("here")
    drained.append((ws.draining, ws.close_code))


#: What :func:`draining` saw.
drained: list[tuple[bool, int | None]] = []


def page(request: HttpRequest) -> HttpResponse:
    """An ordinary page."""
    return HttpResponse(json.dumps({"users": get_user_model().objects.count()}))


urlpatterns = [
    path("json/", json_echo),
    path("json/async/", async_json_echo),
    path("json/careless/", careless_json),
    path("json/careless/events/", websocket(CarelessJson)),
    path("json/rich/", rich_json),
    path("fragments/", fragments),
    path("fragments/uncompressed/", websocket(fragments.__wrapped__, compression=False)),
    path("fragments/events/", websocket(EventFragments)),
    path("fragments/async/", async_fragments),
    path("fragments/interrupted/", interrupted),
    path("fragments/two/", two_writers),
    path("users/", add_user),
    path("users/events/", websocket(EventAddUser)),
    path("users/async/", async_add_user),
    path("groups/late/", add_group_late),
    path("stuck/", stuck),
    path("slow/", slow),
    path("raises/", raises),
    path("raises/events/", websocket(EventRaises)),
    path("raises/async/", async_raises),
    path("raises/inside/", raises_inside),
    path("permitted/", permitted),
    path("state/", state),
    path("draining/", draining),
    path("page/", page),
    path("", include("support.project.urls")),
]
