"""Websocket views that use the database, in every style, and what holds connections.

A message is answered with who answered it: the database's own number of the connection, where
it has one, and a count that proves a query.
"""

from __future__ import annotations

import asyncio
import gc
import sqlite3
from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.db.backends.signals import connection_created
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import path

from dualws import WebSocketView, websocket
from support.notes import note, wait_for_release

_executed = 0
#: Handlers that a test may kill, by key.
_killable: dict[str, Any] = {}


def query() -> str:
    """A query; its connection's number and the count."""
    users = get_user_model().objects.count()
    ask = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT connection_id()"}
    statement = ask.get(connection.vendor)
    if statement is None:
        return f"0 {users}"
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return f"{cursor.fetchone()[0]} {users}"


@websocket
def blocking(request: HttpRequest, ws: Any) -> None:
    """A query for each message."""
    for _ in ws:
        ws.send(query())


class Events(WebSocketView):
    """The same, called for events."""

    def received_message(self, message: str | bytes) -> None:
        self.ws.send(query())


@websocket
async def sensitive(request: HttpRequest, ws: Any) -> None:
    """The same as a coroutine, through ``sync_to_async`` and the asynchronous ORM."""
    async for _ in ws:
        users = await get_user_model().objects.acount()
        answer = await sync_to_async(query)()
        assert answer.endswith(f" {users}")
        await ws.send(answer)


@websocket
async def insensitive(request: HttpRequest, ws: Any) -> None:
    """The same in any thread: the loop's default executor."""
    async for message in ws:
        if message == "to_thread":
            await ws.send(await asyncio.to_thread(query))
        else:
            await ws.send(await sync_to_async(query, thread_sensitive=False)())


def inside(request: HttpRequest) -> HttpResponse:
    """The same in the view itself."""
    for _ in request.META["wsgi.websocket"]:
        request.META["wsgi.websocket"].send(query())
    return HttpResponse()


@websocket
def in_atomic(request: HttpRequest, ws: Any) -> None:
    """Waits inside a transaction, then outside; rolls back when it is told so."""
    try:
        with transaction.atomic():
            Group.objects.create(name=request.GET["key"])
            ws.send(query())
            if ws.receive() == "roll back":
                raise LookupError
            ws.send(query())
    except LookupError:
        pass
    ws.receive()


@websocket
def polling(request: HttpRequest, ws: Any) -> None:
    """Queries, then polls with a timeout that is shorter than the moment of grace."""
    ws.send(query())
    polls = 0
    while not ws.closed:
        try:
            if ws.receive(timeout=0.02) is not None:
                ws.send(f"{polls}")
        except TimeoutError:
            polls += 1


@websocket
def patient(request: HttpRequest, ws: Any) -> None:
    """Queries, and waits with a timeout that is longer than the moment of grace."""
    ws.send(query())
    try:
        ws.receive(timeout=0.3)
    except TimeoutError as error:
        ws.send(str(error))
    ws.receive()


@websocket
def failing(request: HttpRequest, ws: Any) -> None:
    """Ends with an exception while it holds a connection."""
    ws.send(query())
    ws.receive()
    query()
    raise RuntimeError("the handler's own bug")


@websocket
def busy(request: HttpRequest, ws: Any) -> None:
    """Holds a connection in the midst of its work, whether the peer is there or not."""
    ws.send(query())
    wait_for_release(request.GET["key"])
    note(request.GET["key"], query())


@websocket
def killed(request: HttpRequest, ws: Any) -> None:
    """Is killed inside a transaction: a greenlet by another, a thread by itself."""
    with transaction.atomic():
        Group.objects.create(name=request.GET["key"])
        if request.META["wsgi.server"].backend.name == "gevent":
            import gevent

            _killable[request.GET["key"]] = gevent.getcurrent()
        ws.send(query())
        ws.receive()
        raise SystemExit("the end of this thread")


def kill(request: HttpRequest) -> HttpResponse:
    """Kill a greenlet of :func:`killed`."""
    import gevent

    gevent.kill(_killable.pop(request.GET["key"]))
    return HttpResponse()


class Careless(WebSocketView):
    """Enters a transaction and never leaves it."""

    def received_message(self, message: str | bytes) -> None:
        if message == "enter":
            transaction.atomic().__enter__()
            Group.objects.create(name=self.request.GET["key"])
        self.ws.send(f"{connection.in_atomic_block}")


@websocket
def silent(request: HttpRequest, ws: Any) -> None:
    """Waits."""
    ws.receive()


def written(request: HttpRequest) -> HttpResponseBase:
    """Writes, then answers with a websocket: one transaction with ATOMIC_REQUESTS."""
    Group.objects.create(name=request.GET["key"])
    return silent(request)


def groups(request: HttpRequest) -> HttpResponse:
    """Whether a group exists, seen from another connection."""
    return JsonResponse(Group.objects.filter(name=request.GET["key"]).count(), safe=False)


def number(request: HttpRequest) -> HttpResponse:
    """The number of this request's connection."""
    return JsonResponse(int(query().split()[0]), safe=False)


def held(request: HttpRequest) -> HttpResponse:
    """The same, after the test has released it: it holds its connection until then."""
    found = query()
    note(request.GET["key"], "held")
    wait_for_release(request.GET["key"])
    return JsonResponse(int(found.split()[0]), safe=False)


def given_up(request: HttpRequest) -> HttpResponse:
    """Gives a query up in its midst, as greenlets can."""
    if request.META["wsgi.server"].backend.name == "gevent":
        import gevent

        with gevent.Timeout(0.1, False), connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(20)")
    return HttpResponse()


def left_open(request: HttpRequest) -> HttpResponse:
    """Enters a transaction and never leaves it."""
    transaction.atomic().__enter__()
    Group.objects.create(name=request.GET["key"])
    return HttpResponse()


def looked(view: Callable[[HttpRequest], HttpResponseBase]) -> Any:
    """*view*, which has asked who it is, by the connection whose number the handshake tells."""

    def look(request: HttpRequest) -> HttpResponseBase:
        known = request.user.is_authenticated
        response = view(request)
        response["X-Known"] = f"{known}"
        if "number" in request.GET:
            response["X-Number"] = query().split()[0]
        return response

    return look


def executed(request: HttpRequest) -> HttpResponse:
    """How many queries this process has made; makes none."""
    return JsonResponse(_executed, safe=False)


def _count(execute: Callable[..., Any], *args: Any) -> Any:
    global _executed
    _executed += 1
    return execute(*args)


@receiver(connection_created)
def _count_queries(connection: Any, **_: Any) -> None:
    if _count not in connection.execute_wrappers:
        connection.execute_wrappers.append(_count)


def sqlite_connections(request: HttpRequest) -> HttpResponse:
    """How many connections to SQLite this process has; makes none."""
    return JsonResponse(
        sum(isinstance(thing, sqlite3.Connection) for thing in gc.get_objects()), safe=False
    )


urlpatterns = [
    path("blocking/", blocking),
    path("events/", websocket(Events)),
    path("sensitive/", sensitive),
    path("insensitive/", insensitive),
    path("inside/", inside),
    path("in-atomic/", in_atomic),
    path("polling/", polling),
    path("patient/", patient),
    path("failing/", failing),
    path("busy/", busy),
    path("killed/", killed),
    path("kill/", kill),
    path("careless/", websocket(Careless)),
    path("written/", written),
    path("groups/", groups),
    path("sqlite/", sqlite_connections),
    path("number/", number),
    path("held/", held),
    path("given-up/", given_up),
    path("left-open/", left_open),
    path("looked/blocking/", looked(blocking)),
    path("looked/events/", looked(websocket(Events))),
    path("looked/sensitive/", looked(sensitive)),
    path("executed/", executed),
]
