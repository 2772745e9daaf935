"""Ordinary views: what a request looked like, answers of every kind, and the blackboard."""

from __future__ import annotations

import contextvars
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from django.core.signals import request_finished
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    JsonResponse,
    StreamingHttpResponse,
)
from django.views.decorators.csrf import csrf_exempt

from dualws import websocket
from dualws_conformance.project import notes as board
from dualws_conformance.project import state as holdings

_context: contextvars.ContextVar[str] = contextvars.ContextVar("kit", default="nothing")


def count_unwinding(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Middleware: marks every response, and notes when it has left the stack."""

    def middleware(request: HttpRequest) -> Any:
        response = get_response(request)
        response["X-Kit"] = "middleware"
        return response

    return middleware


@csrf_exempt
def echo(request: HttpRequest) -> HttpResponse:
    """The request, its environ and its body's digest as JSON."""
    body = request.body
    error = request.META.get("dualws.handshake_error")
    meta = {k: v for k, v in request.META.items() if isinstance(v, str | int | bool | tuple)}
    return JsonResponse(
        {
            "method": request.method,
            "path": request.path,
            "length": len(body),
            "body": body[:4096].decode("latin-1"),
            "sha256": hashlib.sha256(body).hexdigest(),
            "meta": meta,
            "keys": sorted(request.META),
            "types": {key: type(value).__name__ for key, value in request.META.items()},
            "websocket": "wsgi.websocket" in request.META,
            "error": error.reason if error is not None else None,
            "backend": request.META["wsgi.server"].backend.name,
        }
    )


def notes(request: HttpRequest) -> HttpResponse:
    """The notes under ``key``, once there are ``count``."""
    found = board.wait_for_notes(request.GET["key"], int(request.GET.get("count", "1")))
    return JsonResponse(found, safe=False)


def release(request: HttpRequest) -> HttpResponse:
    """Let one that waits for ``key`` go on."""
    board.release(request.GET["key"])
    return JsonResponse({})


def state(request: HttpRequest) -> HttpResponse:
    """What the process holds now."""
    return JsonResponse(holdings.measure(request.META["wsgi.server"]))


@csrf_exempt
def status(request: HttpRequest, code: int) -> HttpResponse:
    """An ordinary response with a status; to websocket handshakes too."""
    body = request.GET.get("body", f"status {code}")
    response = HttpResponse(body, status=code, content_type="text/plain")
    if code in (301, 302, 307):
        response["Location"] = "/elsewhere/"
    return response


def cookies(request: HttpRequest) -> HttpResponse:
    """Two cookies, so two Set-Cookie fields."""
    response = HttpResponse("two")
    response.set_cookie("first", "1")
    response.set_cookie("second", "2")
    return response


def context(request: HttpRequest) -> HttpResponse:
    """What the context variable held when the request came; then sets it."""
    before = _context.get()
    _context.set(request.GET["set"])
    return JsonResponse({"before": before})


def _blocks(size: int, key: str) -> Iterator[bytes]:
    sent = 0
    try:
        while sent < size:
            block = bytes(min(65536, size - sent))
            sent += len(block)
            yield block
    finally:
        if key:
            board.note(key, sent)


def large(request: HttpRequest) -> HttpResponseBase:
    """``size`` bytes, streamed or (``whole``) in one piece; notes under ``key`` how far it came."""
    size = int(request.GET["size"])
    if "whole" in request.GET:
        return HttpResponse(bytes(size))
    return StreamingHttpResponse(_blocks(size, request.GET.get("key", "")))


def stream(request: HttpRequest) -> HttpResponseBase:
    """Three chunks; each but the first waits for a release of ``key``."""
    key = request.GET["key"]

    def chunks() -> Iterator[bytes]:
        yield b"one\n"
        for word in (b"two\n", b"three\n"):
            board.wait_for_release(key)
            yield word

    return StreamingHttpResponse(chunks(), content_type="text/plain")


def crash(request: HttpRequest) -> HttpResponse:
    """Raise."""
    raise RuntimeError("a crash that the kit asked for")


def slow(request: HttpRequest) -> HttpResponse:
    """Note ``key``, then answer once released."""
    board.note(request.GET["key"], "begun")
    board.wait_for_release(request.GET["key"])
    return HttpResponse("released")


def lasts(request: HttpRequest) -> HttpResponse:
    """Note ``key``, then answer after ``seconds``."""
    board.note(request.GET["key"], "begun")
    time.sleep(float(request.GET["seconds"]))
    return HttpResponse("lasted")


@websocket
def _visited(request: HttpRequest, ws: Any) -> None:
    ws.receive()


def visit(request: HttpRequest) -> HttpResponseBase:
    """A websocket view behind one that changes the session and sets a cookie."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    response = _visited(request)
    response.set_cookie("theme", "dark")
    return response


_key: contextvars.ContextVar[str] = contextvars.ContextVar("key", default="")


@websocket
def _ordered(request: HttpRequest, ws: Any) -> None:
    board.note(request.GET["key"], ["handler", threading.get_ident(), _key.get()])
    ws.receive()


def ordered(request: HttpRequest) -> HttpResponseBase:
    """A websocket view; notes the order of view, ``request_finished`` and handler."""
    key = request.GET["key"]

    def finished(**_: object) -> None:
        request_finished.disconnect(dispatch_uid=key)
        board.note(key, ["finished", threading.get_ident(), _key.get()])

    request_finished.connect(finished, weak=False, dispatch_uid=key)
    _key.set(key)
    board.note(key, ["view", threading.get_ident(), _key.get()])
    return _ordered(request)


def accepts(request: HttpRequest) -> HttpResponse:
    """Accept explicitly, twice, with a header and a subprotocol of the client's."""
    ws = request.META["wsgi.websocket"]
    ws.accept(ws.choose_subprotocol(["kit.v2"]), headers=[("X-Room", "blue")])
    ws.accept()
    ws.send("accepted")
    return HttpResponse()


def crash_before(request: HttpRequest) -> HttpResponse:
    """Raise in answer to a handshake, before anything is accepted."""
    raise RuntimeError("a crash before the accept that the kit asked for")


def two_accept(request: HttpRequest) -> HttpResponse:
    """A reader and a writer, both of which trigger the accept."""
    ws = request.META["wsgi.websocket"]
    writer = threading.Thread(target=ws.send, args=("from the writer",))
    writer.start()
    ws.send(ws.receive())
    writer.join(board.PATIENCE)
    return HttpResponse()
