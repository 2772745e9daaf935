"""``request.is_websocket`` and ``request.websocket``, on every request of Django's.

Law: they only say what the environ holds, so they need no middleware and cost a request that
does not ask nothing. Of a websocket request the websocket knows in turn: code that accepts it
inside the view is then treated as one that belongs to a user and a session.
"""

from __future__ import annotations

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpRequest

from dualws.contract import ENVIRON_HANDSHAKE_ERROR, ENVIRON_WEBSOCKET, Environ
from dualws.faces import WebSocket


class WebSocketRequest(WSGIRequest):
    """Django's request, known to its websocket."""

    def __init__(self, environ: Environ) -> None:
        super().__init__(environ)
        ws = environ.get(ENVIRON_WEBSOCKET)
        if ws is not None:
            ws.request = self


def is_websocket(request: HttpRequest) -> bool:
    """Whether the client asks for a websocket, if only with a bad handshake.

    A websocket view answers those as well: 101, or what is wrong.
    """
    return ENVIRON_WEBSOCKET in request.META or ENVIRON_HANDSHAKE_ERROR in request.META


def websocket(request: HttpRequest) -> WebSocket | None:
    """The websocket, not accepted yet; None when the client asks for none, or not correctly, and
    once its handler has ended."""
    ws: WebSocket | None = request.META.get(ENVIRON_WEBSOCKET)
    return ws


def install() -> None:
    """Add the two attributes to Django's requests; called when Django starts."""
    for function in (is_websocket, websocket):
        # On the base, so that requests of RequestFactory and the test client have them too.
        setattr(HttpRequest, function.__name__, property(function))
    if WSGIHandler.request_class is WSGIRequest:
        WSGIHandler.request_class = WebSocketRequest
