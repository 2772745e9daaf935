"""What the kit's websockets do in code that blocks: in a view's handler, and in a view itself.

Law: a handler is a function of ``(request, ws)``. :func:`blocking` makes a ``@websocket`` view
of it, :func:`inside` a view that loops over ``wsgi.websocket`` itself. The same handlers for the
other styles are in :mod:`~dualws_conformance.project.coroutines` and
:mod:`~dualws_conformance.project.events`: what one says to the client, the others say too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, TypeAlias

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from dualws import websocket
from dualws.errors import HandshakeError, WebSocketClosed
from dualws_conformance.project.notes import note, wait_for_release

Handler: TypeAlias = Callable[[HttpRequest, Any], None]

SUBPROTOCOLS = ("kit.v1", "kit.v2")


def key_of(request: HttpRequest) -> str:
    """The key of the handler's notes, empty without."""
    return request.GET.get("key", "")


def digest_of(message: str | bytes) -> str:
    """A message's kind, length and digest as JSON."""
    data = message.encode() if isinstance(message, str) else message
    return json.dumps([type(message).__name__, len(data), hashlib.sha256(data).hexdigest()])


def seen_by(request: HttpRequest, ws: Any, same: bool) -> str:
    """What a handler sees of its websocket as JSON.

    :param same: whether that is the environ's, as far as the handler's style has it so
    """
    return json.dumps(
        {
            "path": ws.path,
            "origin": ws.origin,
            "version": ws.version,
            "protocol": ws.protocol,
            "closed": ws.closed,
            "query": request.META["QUERY_STRING"],
            "cookie": request.META.get("HTTP_COOKIE"),
            "backend": request.META["wsgi.server"].backend.name,
            "same": same,
        }
    )


def is_connected_alike(request: HttpRequest, ws: Any) -> bool:
    """Whether *ws*, which is a style's own object, speaks on the connection of the environ's."""
    return bool(request.META["wsgi.websocket"].connection is ws.connection)


def code_and_reason(message: str | bytes | None) -> tuple[int, str]:
    """What a message asks to close with."""
    code, _, reason = str(message or "1000").partition(" ")
    return int(code), reason


def numbered(number: int, size: int) -> bytes:
    """A binary message of *size* bytes that tells its number."""
    return number.to_bytes(4, "big") + bytes(size - 4)


def echo(request: HttpRequest, ws: Any) -> None:
    """Send back what comes; note the end, and what a further ``receive`` says."""
    try:
        while (message := ws.receive()) is not None:
            ws.send(message)
    finally:
        if key_of(request):
            note(key_of(request), [ws.close_code, ws.close_reason, ws.receive(), ws.closed])


def gulp(request: HttpRequest, ws: Any) -> None:
    """Answer each message with its kind, length and digest."""
    while (message := ws.receive()) is not None:
        ws.send(digest_of(message))


def report(request: HttpRequest, ws: Any) -> None:
    """Tell what a handler sees; lives until the client goes."""
    ws.send(seen_by(request, ws, request.META["wsgi.websocket"] is ws))
    ws.receive()


def busy(request: HttpRequest, ws: Any) -> None:
    """Be elsewhere until released, then echo; note the end."""
    ws.send("busy")
    note(key_of(request) + ".busy", "busy")
    wait_for_release(key_of(request))
    echo(request, ws)


def closes(request: HttpRequest, ws: Any) -> None:
    """Close with the first message's code and reason; note what the handler sees then."""
    ws.close(*code_and_reason(ws.receive()))
    ws.close(3999, "a second close")
    seen = [ws.closed, ws.receive(), ws.close_code, ws.close_reason]
    try:
        ws.send("after the close")
        seen.append("sent")
    except WebSocketClosed as error:
        seen.append(type(error).__name__)
    note(key_of(request), seen)


def returns(request: HttpRequest, ws: Any) -> None:
    """End after one message."""
    ws.send("first and last")


def crashes(request: HttpRequest, ws: Any) -> None:
    """Raise after the first message."""
    ws.receive()
    raise RuntimeError("the handler's own bug")


def sends(request: HttpRequest, ws: Any) -> None:
    """Send ``count`` numbered binary messages of ``size`` bytes; note how many were taken."""
    size = int(request.GET["size"])
    done = 0
    try:
        for number in range(int(request.GET["count"])):
            ws.send(numbered(number, size))
            done += 1
    finally:
        if key_of(request):
            note(key_of(request), done)
    ws.receive()


def waits(request: HttpRequest, ws: Any) -> None:
    """Tell that nothing came in time, then echo one message."""
    try:
        ws.receive(timeout=0.05)
    except TimeoutError:
        ws.send("nothing came")
    ws.send(ws.receive())


def asks(request: HttpRequest, ws: Any) -> None:
    """Ping the client, then echo: the pong must not be taken for a message."""
    ws.ping(b"are you there")
    echo(request, ws)


HANDLERS: dict[str, Handler] = {
    function.__name__: function
    for function in (echo, gulp, report, busy, closes, returns, crashes, sends, waits, asks)
}


def blocking(request: HttpRequest, name: str) -> HttpResponseBase:
    """``HANDLERS[name]`` as a ``@websocket`` view."""
    return _BLOCKING[name](request)


def inside(request: HttpRequest, name: str) -> HttpResponse:
    """``HANDLERS[name]`` called in the view itself, which accepts by its first send or receive."""
    ws = request.META.get("wsgi.websocket")
    if ws is None:
        error: HandshakeError | None = request.META.get("dualws.handshake_error")
        answer = HttpResponse(error.reason if error else "a websocket", status=426)
        if error is not None:
            answer.status_code = error.status
            for key, value in error.headers:
                answer[key] = value
        return answer
    if ws.handshake.subprotocols:
        ws.accept(ws.choose_subprotocol(SUBPROTOCOLS))
    try:
        HANDLERS[name](request, ws)
    except WebSocketClosed:
        return HttpResponse("the client has gone")
    return HttpResponse("this goes nowhere")


_BLOCKING = {
    name: websocket(subprotocols=SUBPROTOCOLS)(handler) for name, handler in HANDLERS.items()
}
