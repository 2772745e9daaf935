"""The three styles of handler: how each is recognised and how it is run.

Law: a style is chosen from what the view *is*: a function blocks, a coroutine function is
awaited, a class with ``received_message`` is called for events. All three begin after the
request's stack has unwound, and end with the websocket closed, whatever they raise.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol

from django.http import HttpRequest

from dualws import failures
from dualws.database import release_connections
from dualws.events import EventDriver, EventHandler, WebSocketView
from dualws.executors import HandlerExecutor, use_for_sync_to_async
from dualws.faces import WebSocket


class Style(Protocol):
    """Runs a view as the handler of open websockets."""

    #: whether the handler needs a thread or greenlet while it waits
    blocking: bool

    def run(
        self, ws: WebSocket, request: HttpRequest, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Run it, or start it; in the request's thread or greenlet."""


def style_of(view: Any) -> Style:
    """The style of a view that is no :class:`WebSocketView`.

    :raises TypeError: it has none
    """
    if inspect.isclass(view):
        if any(base.__module__ == "ws4py.websocket" for base in view.__mro__):
            return Ws4pyStyle(view)
        raise TypeError(
            f"{view.__qualname__} is no websocket view: derive it from dualws.WebSocketView, "
            "or from ws4py.websocket.WebSocket"
        )
    if not callable(view):
        raise TypeError(
            f"websocket() decorates a function of (request, ws, …) or a WebSocketView, not "
            f"{view!r}; name subprotocols as websocket(subprotocols=[…])"
        )
    if inspect.iscoroutinefunction(view) or inspect.iscoroutinefunction(
        getattr(view, "__call__", None)  # noqa: B004  # the method itself is asked, not whether
    ):
        return AsyncStyle(view)
    return BlockingStyle(view)


class BlockingStyle:
    """``def view(request, ws, …)``: loops over ``ws``."""

    blocking = True

    def __init__(self, view: Callable[..., object]) -> None:
        self._view = view

    def run(
        self, ws: WebSocket, request: HttpRequest, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        ws.server.handling.add(ws.connection)
        try:
            self._view(request, ws, *args, **kwargs)
        except BaseException as error:
            failed(ws, request, error)
        finally:
            ws.close()
            release_connections()
            ws.let_go()


class AsyncStyle:
    """``async def view(request, ws, …)``: on an asyncio loop."""

    blocking = False

    def __init__(self, view: Callable[..., Any]) -> None:
        self._view = view

    def run(
        self, ws: WebSocket, request: HttpRequest, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        # Django loads the user when it is first looked at, which a coroutine may not do.
        if getattr(request, "user", None) is not None:
            ws.user.is_authenticated  # noqa: B018  # it is loaded now
        release_connections()
        ws.server.handling.add(ws.connection)
        if ws.server.watchdog is not None:
            ws.server.watchdog.watch_coroutines()
        ws.connection.runtime.run_coroutine(self._run(ws, request, args, kwargs))

    async def _run(
        self, ws: WebSocket, request: HttpRequest, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        from dualws.async_face import AsyncWebSocket

        face = AsyncWebSocket(ws)
        use_for_sync_to_async(HandlerExecutor(ws.connection.runtime))
        try:
            await self._view(request, face, *args, **kwargs)
        except (Exception, SystemExit) as error:  # SystemExit would end the loop
            failed(ws, request, error)
        finally:
            ws.close()
            ws.let_go()


class EventStyle:
    """A :class:`~dualws.events.WebSocketView`: called for events.

    :param handler: the instance that serves this websocket
    """

    blocking = False

    def __init__(self, handler: WebSocketView) -> None:
        self._handler = handler

    def run(
        self, ws: WebSocket, request: HttpRequest, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        ws.waits = False
        self._handler.ws = ws
        drive(ws, self._handler)


class Ws4pyStyle:
    """A subclass of ``ws4py.websocket.WebSocket``, as it is."""

    blocking = False

    def __init__(self, view: type[Any]) -> None:
        self._view = view

    def run(
        self, ws: WebSocket, request: HttpRequest, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        from dualws.ws4py_handlers import Ws4pyDriver

        ws.waits = False
        drive(ws, Ws4pyDriver(self._view, ws))


def drive(ws: WebSocket, handler: EventHandler) -> None:
    """Call *handler* for the events of *ws* from now on."""
    ws.connection.wants_pongs = True
    ws.server.handling.add(ws.connection)
    EventDriver(ws, handler, release_connections).start()


def failed(ws: WebSocket, request: HttpRequest, error: BaseException) -> None:
    """The handler raised: log it and close."""
    failures.failed(ws.connection, error, ws.path, {"request": request, "status_code": 500})
