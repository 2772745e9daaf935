"""What websockets that have ended leave to the collector."""

from __future__ import annotations

import gc
from collections import Counter
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import path

from dualws import websocket
from dualws.connection import Connection
from dualws.faces import Face
from dualws.tls.transport import TlsTransport
from dualws.transport import SocketTransport


def stop_collector(request: HttpRequest) -> HttpResponse:
    """From now on nothing is found by it."""
    gc.collect()
    gc.disable()
    return HttpResponse()


def count(request: HttpRequest) -> HttpResponse:
    """How many of a websocket's objects there are."""
    found = Counter(
        type(thing).__name__
        for thing in gc.get_objects()
        if isinstance(thing, Connection | Face | SocketTransport | TlsTransport)
        # Ordinary requests leave themselves to the collector: Django has it so.
        or (isinstance(thing, WSGIRequest) and "wsgi.websocket" in thing.META)
    )
    return JsonResponse(found)


@websocket
def tried(request: HttpRequest, ws: Any) -> None:
    """Tells what the URLconf's other patterns have left in the request."""
    ws.send_json([str(request.resolver_match), request.resolver_match.tried])


_kept: dict[str, HttpRequest] = {}


def said(request: HttpRequest) -> list[bool]:
    return [request.is_websocket, request.websocket is not None]


@websocket
def keep(request: HttpRequest, ws: Any) -> None:
    """Keeps its request, and tells whether that is one for a websocket, and has it."""
    _kept[request.GET["key"]] = request
    ws.send_json(said(request))


def kept(request: HttpRequest) -> HttpResponseBase:
    """By HTTP, what the request that was kept tells now."""
    if request.is_websocket:
        return keep(request)
    return JsonResponse(said(_kept[request.GET["key"]]), safe=False)


urlpatterns = [
    path("kept/", kept),
    path("count/", count),
    path("stop-collector/", stop_collector),
    path("tried/", tried),
]
