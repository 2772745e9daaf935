"""Handlers that are called for events: between messages they hold no thread and no greenlet.

Law: the calls of one connection never overlap and keep their order. What may run is known
from the connection's inbox; whoever finds the driver idle starts it, in the pool's
threads or in a greenlet, and it runs until the inbox is empty.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from dualws import database
from dualws.connection import ENDED, WAIT
from dualws.failures import failed
from dualws.protocol.stream import Pong

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from dualws.faces import WebSocket

#: Events of one connection handled before the others get the thread.
_TURN = 32


class EventHandler(Protocol):
    """What the driver calls; never two at a time."""

    def opened(self) -> object:
        """The websocket is open."""

    def received_message(self, message: Any, /) -> object:
        """The next message."""

    def ponged(self, pong: Any, /) -> object:
        """A pong came."""

    def draining(self) -> object:
        """The server is about to end."""

    def closed(self, code: int, reason: str, /) -> object:
        """The websocket has ended: the last call, exactly once."""


class EventDriver:
    """Calls a handler's methods.

    :param ws: the open websocket
    :param handler: what is called
    :param release: called in its thread or greenlet after each turn that may have made a
        database connection: gives them back
    """

    def __init__(self, ws: WebSocket, handler: EventHandler, release: Callable[[], object]) -> None:
        self._ws = ws
        self._connection = ws.connection
        self._handler = handler
        self._release = release
        # The request's own, so that what its middleware set is still set, for every turn.
        self._context = contextvars.copy_context()
        #: the handler knows that the server is about to end
        self._told = ws.server.draining

    def start(self) -> None:
        """Call ``opened``, then whatever has come; in a thread or greenlet that may block."""
        self._run(self._begin)

    def _run(self, turn: Callable[[], bool] | None = None) -> None:
        """One turn, then the thread is free; nothing else of this connection runs meanwhile."""
        made = database.made
        try:
            go_on = self._context.run(turn or self._turn)
        finally:
            # Asking Django which ones there are takes longer than all the rest of a turn.
            if turn is not None or database.made != made:
                self._release()
        if go_on and not self._connection.when_ready(self._ready):
            self._ready()

    def _ready(self) -> None:
        self._connection.runtime.submit(self._run)

    def _begin(self) -> bool:
        self._call(self._handler.opened)
        return self._turn()

    def _turn(self) -> bool:
        """Handle what has come, in the request's context; False after the last event."""
        take = self._connection.take
        server = self._connection.server
        for _ in range(_TURN):
            event = take(None)
            if event is WAIT:
                if server.draining and not self._told:
                    self._told = True
                    self._call(self._handler.draining)
                break
            if event is ENDED:
                code = self._connection.close_code
                self._call(
                    self._handler.closed,
                    1006 if code is None else code,
                    self._connection.close_reason,
                )
                self._ws.let_go()
                return False
            if type(event) is Pong:
                self._call(self._handler.ponged, event.data)
            else:
                self._call(self._handler.received_message, event)
        return True

    def _call(self, method: Callable[..., object], *args: object) -> None:
        """Call the handler; an exception of its ends the websocket."""
        try:
            method(*args)
        except BaseException as error:
            failed(self._connection, error, repr(self._handler))


class WebSocketView:
    """A websocket view as a class whose methods are called for events.

    Derive from it and put ``websocket(YourView)`` into the URLconf. One instance serves one
    websocket; :attr:`ws`, :attr:`request` and the URL's arguments, :attr:`args` and
    :attr:`kwargs`, are set before :meth:`opened`. Methods may block (they run in a thread of
    the pool, or a greenlet), are never called two at a time, and are free to be absent.
    ``self.ws.send()`` does not wait for a slow peer: past ``DUALWS_SEND_BUFFER_SIZE`` the
    websocket is closed with 1008.
    """

    #: subprotocols the view speaks; the client's first choice among them is agreed upon
    subprotocols: tuple[str, ...] = ()
    #: whether to agree on compression (:func:`dualws.websocket`)
    compression: bool | None = None

    ws: WebSocket
    request: HttpRequest
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @classmethod
    def as_view(cls) -> Callable[..., HttpResponseBase]:
        """The view for the URLconf: the same as ``websocket(cls)``."""
        from dualws.decorators import websocket

        return websocket(cls)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer the handshake; the one call inside Django's middleware, before the others.

        Any response but that of ``super().dispatch()`` refuses it, so decorators
        (``@method_decorator(login_required, name="dispatch")``) work as on Django's views.
        """
        from dualws.decorators import shake_hands
        from dualws.styles import EventStyle

        style = EventStyle(self)
        return shake_hands(request, style, args, kwargs, self.subprotocols, self.compression)

    def opened(self) -> None:
        """The websocket is open."""

    def received_message(self, message: str | bytes) -> None:
        """A message came: text as ``str``, binary as ``bytes``."""

    def ponged(self, data: bytes) -> None:
        """A pong came, with the data of a ``self.ws.ping(data)`` or unasked."""

    def draining(self) -> None:
        """The server is about to end, and will close this websocket (1012) within
        ``DUALWS_DRAIN_WINDOW`` seconds: put aside what must not be lost, begin nothing long.

        Called once, between other calls; not for a websocket that is opened later, where
        ``self.ws.draining`` is true from the beginning.
        """

    def closed(self, code: int, reason: str) -> None:
        """The websocket has ended.

        :param code: as ``ws.close_code``
        :param reason: as ``ws.close_reason``
        """
