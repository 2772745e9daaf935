"""Websocket views in every style, and what refuses to be one."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import login_required
from django.core.signals import request_finished
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect
from django.urls import path
from ws4py.websocket import WebSocket as Ws4pyWebSocket

from dualws import WebSocketView, publish, websocket
from support.notes import identity, note, wait_for_release
from support.timing import TIMEOUT


def _note_end(key: str, ws: Any) -> None:
    note(key, [ws.close_code, ws.close_reason])


@websocket(subprotocols=["chat.v1", "chat.v2"])
def echo(request: HttpRequest, ws: Any) -> None:
    """Sends back what comes; notes the end under the query's ``key``."""
    try:
        for message in ws:
            ws.send(message)
    finally:
        _note_end(request.GET.get("key", "echo"), ws)


class EventEcho(WebSocketView):
    """The same, called for events."""

    def opened(self) -> None:
        self.busy = False

    def received_message(self, message: str | bytes) -> None:
        assert not self.busy, "two calls at a time"
        self.busy = True
        self.ws.send(message)
        self.busy = False

    def closed(self, code: int, reason: str) -> None:
        note(self.request.GET.get("key", "events"), [code, reason])


class Ws4pyEcho(Ws4pyWebSocket):
    """The same as a handler of ws4py."""

    def received_message(self, message: Any) -> None:
        self.send(message.data, message.is_binary)

    def closed(self, code: int, reason: str = "") -> None:
        query = QueryDict(self.environ["QUERY_STRING"])
        note(query.get("key", "ws4py"), [code, reason])


@websocket(subprotocols=["chat.v1", "chat.v2"])
async def async_echo(request: HttpRequest, ws: Any) -> None:
    """The same as a coroutine."""
    try:
        async for message in ws:
            await ws.send(message)
    finally:
        _note_end(request.GET.get("key", "async"), ws)


class Careful(WebSocketView):
    """Notices when two of its calls overlap, and answers with the number of the message."""

    def opened(self) -> None:
        self.inside = 0
        self.count = 0

    def received_message(self, message: str | bytes) -> None:
        self.inside += 1
        time.sleep(0.001)  # lets others in, if there are any
        self.count += 1
        self.ws.send(f"{message}:{self.count}:{self.inside}")
        self.inside -= 1


class Told(WebSocketView):
    """Notes every call."""

    def __init__(self) -> None:
        self.said: list[object] = ["init"]

    def opened(self) -> None:
        self.said.append(["opened", self.kwargs["word"], self.ws.subprotocol])
        self.ws.ping(b"and you?")

    def received_message(self, message: str | bytes) -> None:
        self.said.append(message)
        if message == "crash":
            raise RuntimeError("an event handler's own bug")

    def ponged(self, data: bytes) -> None:
        self.said.append(["ponged", data.decode()])

    def closed(self, code: int, reason: str) -> None:
        note(self.request.GET["key"], [*self.said, ["closed", code, reason]])


@websocket
async def async_timeout(request: HttpRequest, ws: Any) -> None:
    """Times out, loses nothing by it, and closes by itself."""
    try:
        await ws.receive(timeout=0.05)
    except TimeoutError:
        await ws.send("nothing came")
    await ws.send(await ws.receive())
    ws.close(4002, "enough")


@websocket
async def async_crash(request: HttpRequest, ws: Any) -> None:
    """Raises after the first message."""
    await ws.receive()
    raise RuntimeError("a coroutine's own bug")


@websocket
async def async_flood(request: HttpRequest, ws: Any) -> None:
    """Sends more than anybody reads, and notes how that ends."""
    try:
        for _ in range(1000):
            await ws.send(bytes(1024 * 1024))
    except Exception as error:
        note(request.GET["key"], [type(error).__name__, getattr(error, "code", None)])
        raise


def census(request: HttpRequest) -> HttpResponse:
    """How many websockets, real threads and greenlets this process has."""
    gc.collect()
    greenlet = getattr(sys.modules.get("greenlet"), "greenlet", ())
    greenlets = sum(isinstance(thing, greenlet) for thing in gc.get_objects())
    threads = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0
    connections = len(request.META["wsgi.server"].connections)
    return HttpResponse(json.dumps([connections, threads, greenlets]))


@websocket
def report(request: HttpRequest, ws: Any, word: str) -> None:
    """What the handler can see of the request."""
    ws.send(
        json.dumps(
            {
                "user": str(request.user),
                "cart": request.session.get("cart"),
                "word": word,
                "path": ws.path,
                "origin": ws.origin,
                "version": ws.version,
                "protocol": ws.protocol,
                "subprotocol": ws.subprotocol,
                "query": request.GET.dict(),
                "same": ws.request is request and request.META["wsgi.websocket"] is ws,
                "backend": request.META["wsgi.server"].backend.name,
                "connections": len(request.META["wsgi.server"].connections),
                "users": get_user_model().objects.count(),
                "closed": ws.closed,
            }
        )
    )


@websocket
def cookie(request: HttpRequest, ws: Any) -> None:
    """Never reached with a changed session: see :func:`visit`."""


def visit(request: HttpRequest) -> HttpResponseBase:
    """Changes the session, so that the middleware sets a cookie on the 101."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    response = cookie(request)
    response.set_cookie("theme", "dark")
    return response


@websocket
def order(request: HttpRequest, ws: Any) -> None:
    """Notes, after :func:`note_finished`, that the handler runs."""
    note("order", "handler")
    ws.receive()


def note_finished(**_: object) -> None:
    """Notes that a request has ended."""
    note("order", "request_finished")


def ordered(request: HttpRequest) -> HttpResponseBase:
    """A view whose response notes when Django closes it."""
    request_finished.connect(note_finished, dispatch_uid="order")
    note("order", "view")
    return order(request)


@websocket
def busy(request: HttpRequest, ws: Any) -> None:
    """Waits for the test before it reads; then echoes until the end."""
    key = request.GET["key"]
    note(key, "busy")
    wait_for_release(key)
    for message in ws:
        ws.send(message)
    _note_end(key, ws)


@websocket
def say_bye(request: HttpRequest, ws: Any) -> None:
    """Closes with what the first message says; notes what comes afterwards."""
    code, _, reason = ws.receive().partition(" ")
    ws.close(int(code), reason)
    after = ws.receive()
    note(request.GET["key"], [ws.closed, after, ws.close_code, ws.close_reason])


@websocket
def returns(request: HttpRequest, ws: Any) -> None:
    """Ends at once."""
    ws.send("first and last")


@websocket
def crash(request: HttpRequest, ws: Any) -> None:
    """Raises after the first message."""
    ws.receive()
    raise RuntimeError("the handler's own bug")


@websocket
def timeout(request: HttpRequest, ws: Any) -> None:
    """Tells that nothing came, then goes on."""
    try:
        ws.receive(timeout=0.05)
    except TimeoutError:
        ws.send("nothing came")
    ws.send(ws.receive())


@websocket
def flood(request: HttpRequest, ws: Any) -> None:
    """Sends more than anybody reads, and notes how that ends."""
    key = request.GET["key"]
    try:
        for _ in range(1000):
            ws.send(bytes(1024 * 1024))
    except Exception as error:
        note(key, [type(error).__name__, getattr(error, "code", None)])
        raise


@websocket
def big(request: HttpRequest, ws: Any) -> None:
    """One message of ``size`` bytes."""
    ws.send(b"x" * int(request.GET["size"]))


@websocket
def misuse(request: HttpRequest, ws: Any) -> None:
    """What ``ws`` says to wrong arguments."""
    said = []
    attempts: list[Callable[[], object]] = [
        lambda: ws.send(5),
        lambda: ws.send(None),
        lambda: ws.close(1005),
        lambda: ws.close(1006),
        lambda: ws.close(999),
        lambda: ws.close(1000, "é" * 62),
        lambda: ws.ping(b"x" * 126),
    ]
    for attempt in attempts:
        try:
            attempt()
            said.append("accepted")
        except (TypeError, ValueError) as error:
            said.append(type(error).__name__)
    ws.send(json.dumps(said))


@websocket
def topic(request: HttpRequest, ws: Any) -> None:
    """Subscribes to ``topic`` and publishes what comes."""
    name = request.GET["topic"]
    ws.subscribe(name)
    ws.send("subscribed")
    for message in ws:
        publish(name, message)


@websocket
def topic_and_own(request: HttpRequest, ws: Any) -> None:
    """Publishes to ``topic``, as ``who``, as often as is asked, and says so itself before each."""
    name, who = request.GET["topic"], request.GET["who"]
    ws.subscribe(name)
    ws.send("subscribed")
    for message in ws:
        for number in range(int(message)):
            ws.send(f"own {number}")
            publish(name, f"{who} {number}")


def publish_by_http(request: HttpRequest) -> HttpResponse:
    """Publishes from an ordinary view."""
    return HttpResponse(str(publish(request.GET["topic"], request.GET["data"])))


@login_required(login_url="/sign-in/")
@websocket
def members(request: HttpRequest, ws: Any) -> None:
    """Only for those who have signed in."""
    ws.send(str(request.user))


def refuse(request: HttpRequest, code: int) -> HttpResponseBase:
    """An ordinary response to a handshake."""
    if code == 302:
        return redirect("/elsewhere/")
    return HttpResponse(f"no: {code}", status=code, headers={"X-Why": "because"})


def refuse_by_crash(request: HttpRequest) -> HttpResponseBase:
    """An exception before anything is accepted."""
    raise RuntimeError("refused by a bug")


def loop_inside(request: HttpRequest) -> HttpResponse:
    """The style of gevent-websocket: the view itself talks, and ends with the socket."""
    ws = request.META.get("wsgi.websocket")
    if ws is None:
        return HttpResponse("no websocket here", status=400)
    while not ws.closed:
        message = ws.receive()
        if message is None:
            break
        ws.send(message)
    note(request.GET.get("key", "inside"), [ws.close_code, ws.closed, ws.receive()])
    return HttpResponse("this goes nowhere")


def crash_inside(request: HttpRequest) -> HttpResponse:
    """The same with an exception after the accept."""
    request.META["wsgi.websocket"].receive()
    raise RuntimeError("bug inside the view")


def accept_inside(request: HttpRequest) -> HttpResponse:
    """Accepts explicitly, with a subprotocol and a header."""
    ws = request.META["wsgi.websocket"]
    ws.accept(ws.choose_subprotocol(["chat.v2"]), headers=[("X-Room", "blue")])
    ws.accept()
    ws.send(f"{ws.protocol}")
    return HttpResponse()


def two_accept(request: HttpRequest) -> HttpResponse:
    """A reader and a writer that both trigger the accept."""
    import threading

    ws = request.META["wsgi.websocket"]
    writer = threading.Thread(target=ws.send, args=("from the writer",))
    writer.start()
    ws.send(ws.receive())
    writer.join(TIMEOUT)
    return HttpResponse()


def inspect(request: HttpRequest) -> HttpResponse:
    """The environ of an upgrade request, or of another, seen by an ordinary view."""
    error = request.META.get("dualws.handshake_error")
    answer = {
        "websocket": "wsgi.websocket" in request.META,
        "server": request.META["wsgi.server"].backend.name,
        "error": error and error.reason,
        "thread": identity(),
    }
    return HttpResponse(json.dumps(answer))


urlpatterns = [
    path("echo/", echo),
    path("events/", websocket(EventEcho, subprotocols=["chat.v1"])),
    path("ws4py/", websocket(Ws4pyEcho, subprotocols=["chat.v1"])),
    path("async/", async_echo),
    path("async/timeout/", async_timeout),
    path("async/crash/", async_crash),
    path("async/flood/", async_flood),
    path("events/careful/", websocket(Careful)),
    path("events/told/<slug:word>/", websocket(Told, subprotocols=["chat.v1"])),
    path("census/", census),
    path("report/<slug:word>/", report),
    path("visit/", visit),
    path("ordered/", ordered),
    path("busy/", busy),
    path("bye/", say_bye),
    path("returns/", returns),
    path("crash/", crash),
    path("timeout/", timeout),
    path("flood/", flood),
    path("big/", big),
    path("misuse/", misuse),
    path("topic/", topic),
    path("topic/own/", topic_and_own),
    path("publish/", publish_by_http),
    path("members/", members),
    path("refuse/<int:code>/", refuse),
    path("refuse-by-crash/", refuse_by_crash),
    path("inside/", loop_inside),
    path("inside/crash/", crash_inside),
    path("inside/accept/", accept_inside),
    path("inside/two/", two_accept),
    path("inspect/", inspect),
]
