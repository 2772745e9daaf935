"""``@websocket``: an ordinary Django view that answers with a websocket.

Law: the view function is called twice over. While Django handles the request, the wrapper
only judges it and answers 101 (or 400, 403, 426); after the whole stack has unwound, and
its headers are out, the function itself runs with the open websocket.
"""

from __future__ import annotations

import _thread
import functools
import inspect
import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, overload

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from dualws import auth, sessions
from dualws.contract import ENVIRON_HANDSHAKE_ERROR, ENVIRON_SERVER, ENVIRON_WEBSOCKET, Server
from dualws.database import of_requests, release_connections
from dualws.errors import HandshakeError
from dualws.events import WebSocketView
from dualws.faces import WebSocket
from dualws.middleware import (
    ENVIRON_BLOCKING,
    ENVIRON_COMPRESSION,
    ENVIRON_HANDLER,
    ENVIRON_SUBPROTOCOL,
)
from dualws.protocol.handshake import not_attempted, not_supported
from dualws.styles import Style, failed, style_of

logger = logging.getLogger("dualws.handler")

Handler: TypeAlias = Callable[..., object]
View: TypeAlias = Callable[..., HttpResponseBase]


@overload
def websocket(
    view: Handler, /, *, subprotocols: Sequence[str] = (), compression: bool | None = None
) -> View: ...


@overload
def websocket(
    *, subprotocols: Sequence[str] = (), compression: bool | None = None
) -> Callable[[Handler], View]: ...


def websocket(
    view: Handler | None = None,
    /,
    *,
    subprotocols: Sequence[str] = (),
    compression: bool | None = None,
) -> View | Callable[[Handler], View]:
    """Make a websocket view of ``def view(request, ws, **kwargs)``.

    The function runs after the handshake, outside Django's middleware: no transaction and
    no ``request_finished`` waits for it. When it returns the websocket is closed with
    1000, when it raises with 1011 and the exception is logged. Ordinary decorators
    (``login_required`` …) go above it; what they answer refuses the handshake.

    A request without an upgrade is answered with 426, a bad handshake with 400 (426 for a
    version that is not spoken), a page whose origin is not allowed with 403.

    :param subprotocols: those the view speaks; the client's first choice among them is
        agreed upon. A client that offers none of them is accepted without one
        (RFC 6455 section 4.2.2).
    :param compression: whether to agree on permessage-deflate (RFC 7692) with clients that
        offer it; default: as ``DUALWS_COMPRESSION`` says. Switch it off where secrets and
        what an attacker may choose meet in one message, or all data is compressed already.
    :raises TypeError: the view is not a function of ``(request, ws, …)``
    """
    if view is None:
        return functools.partial(
            _decorate, subprotocols=tuple(subprotocols), compression=compression
        )
    return _decorate(view, subprotocols=tuple(subprotocols), compression=compression)


def _decorate(view: Handler, *, subprotocols: tuple[str, ...], compression: bool | None) -> View:
    if inspect.isclass(view) and issubclass(view, WebSocketView):
        return _decorate_class(view, subprotocols, compression)
    style = style_of(view)

    @functools.wraps(view)
    def respond(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return shake_hands(request, style, args, kwargs, subprotocols, compression)

    return respond


def _decorate_class(
    view: type[WebSocketView], subprotocols: tuple[str, ...], compression: bool | None
) -> View:
    @functools.wraps(view, updated=())
    def respond(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        handler = view()
        handler.request = request
        handler.args = args
        handler.kwargs = kwargs
        if subprotocols:
            handler.subprotocols = subprotocols
        if compression is not None:
            handler.compression = compression
        return handler.dispatch(request, *args, **kwargs)

    # Django reads marks such as csrf_exempt from the view; decorators put them on dispatch.
    respond.__dict__.update(view.dispatch.__dict__)
    return respond


def shake_hands(
    request: HttpRequest,
    style: Style,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    subprotocols: Sequence[str],
    compression: bool | None,
) -> HttpResponseBase:
    """Answer a handshake: 101, after which *style* runs the handler, or what is wrong with it."""
    try:
        ws = _websocket_of(request)
    except HandshakeError as error:
        return _refusal(error)
    ws.request = request
    ws.identity = auth.identify(request)
    if request.resolver_match is not None:
        # A list for each pattern before this one, for the page that tells of a 404: they would stay
        # for as long as the websocket.
        request.resolver_match.tried = None
    request.META[ENVIRON_SUBPROTOCOL] = ws.choose_subprotocol(subprotocols)
    request.META[ENVIRON_HANDLER] = functools.partial(
        _begin, style, ws, request, args, kwargs, _thread.get_ident()
    )
    request.META[ENVIRON_BLOCKING] = style.blocking
    request.META[ENVIRON_COMPRESSION] = compression
    return HttpResponse(status=101)


def _begin(
    style: Style,
    ws: WebSocket,
    request: HttpRequest,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    thread: int,
) -> None:
    """Django is through with the request: from here on it is the handler's."""
    try:
        sessions.detach(request, save=False)
        if style.blocking or thread != _thread.get_ident():
            style.run(ws, request, args, kwargs)
        else:
            with of_requests():
                style.run(ws, request, args, kwargs)
    except BaseException as error:
        # The handler has not even begun: nobody else would close the websocket.
        failed(ws, request, error)
        ws.close()
        release_connections()
        ws.let_go()


def _websocket_of(request: HttpRequest) -> WebSocket:
    error: HandshakeError | None = request.META.get(ENVIRON_HANDSHAKE_ERROR)
    if error is not None:
        raise error
    ws: WebSocket | None = request.META.get(ENVIRON_WEBSOCKET)
    if ws is None:
        # Django's test client is no server, and names none.
        named = "SERVER_SOFTWARE" in request.META
        if not named or isinstance(request.META.get(ENVIRON_SERVER), Server):
            raise not_attempted()
        refusal = not_supported()
        _log_once(refusal.reason)
        raise refusal
    ws.check_origin(request.scheme, request.get_host())
    return ws


@functools.cache
def _log_once(reason: str) -> None:
    logger.warning("%s", reason)


def _refusal(error: HandshakeError) -> HttpResponse:
    response = HttpResponse(
        f"{error.reason}\n", status=error.status, content_type="text/plain; charset=utf-8"
    )
    for name, value in error.headers:
        response[name] = value
    return response
