"""Views that block the loop, and what else is to be seen from outside."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path

from dualws import WebSocketView, websocket


def stand_still(seconds: float) -> None:
    """What must not be done in the loop's thread: under gevent it would be real sleep here."""
    monkey = sys.modules.get("gevent.monkey")
    sleep = time.sleep if monkey is None else monkey.get_original("time", "sleep")
    sleep(seconds)


def compute(seconds: float) -> None:
    """The same in Python, line by line."""
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        number += 1


def in_loop(request: HttpRequest, function: Any, *args: Any) -> None:
    """Call *function* in the loop's thread."""
    request.META["wsgi.server"].runtime.call_later(0, function, *args)


@websocket
def block(request: HttpRequest, ws: Any) -> None:
    """Stops the loop for 1.5 s, or the query's ``seconds``."""
    in_loop(request, stand_still, float(request.GET.get("seconds", 1.5)))
    ws.receive()


def block_by_request(request: HttpRequest) -> HttpResponse:
    """Stops the loop as often as is said, in one of two ways."""
    function = compute if request.GET.get("how") == "compute" else stand_still
    in_loop(request, function, float(request.GET["seconds"]))
    return HttpResponse()


@websocket
async def block_async(request: HttpRequest, ws: Any) -> None:
    """Stops the loop that coroutines run on."""
    stand_still(float(request.GET["seconds"]))
    await ws.send("done")


def _traced() -> str:
    """The trace that this code runs in, and the span that is current."""
    from opentelemetry.trace import get_current_span

    context = get_current_span().get_span_context()
    return json.dumps({"trace": f"{context.trace_id:032x}", "parent": f"{context.span_id:016x}"})


@websocket
def traced(request: HttpRequest, ws: Any) -> None:
    """Tells the span that it runs in."""
    ws.receive()
    ws.send(_traced())
    ws.receive()


@websocket
async def traced_async(request: HttpRequest, ws: Any) -> None:
    """The same as a coroutine."""
    await ws.receive()
    await ws.send(_traced())
    await ws.receive()


class Traced(WebSocketView):
    """The same, called for events."""

    def received_message(self, message: str | bytes) -> None:
        self.ws.send(_traced())


def seen(request: HttpRequest) -> HttpResponse:
    """Whether anything is counted or traced here."""
    answer = {
        "seeing": request.META["wsgi.server"].seeing is not None,
        "opentelemetry": "opentelemetry" in sys.modules,
    }
    return HttpResponse(json.dumps(answer))


urlpatterns = [
    path("block/", block),
    path("block-by-request/", block_by_request),
    path("block-async/", block_async),
    path("traced/blocking/", traced),
    path("traced/async/", traced_async),
    path("traced/events/", websocket(Traced)),
    path("seen/", seen),
]
