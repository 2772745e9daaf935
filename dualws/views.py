"""Class-based views that serve both: pages by HTTP, and a websocket at the same address.

Law: Django's ``View`` keeps the methods of HTTP; a request for a websocket goes to the method
``websocket``. Everything around them (``setup``, ``as_view``, decorators of ``dispatch``) is
shared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from dualws.decorators import websocket
from dualws.requests import is_websocket

if TYPE_CHECKING:
    from django.views import View
else:
    View = object


class WebSocketMixin(View):
    """Put before ``View``; requests for a websocket go to :meth:`websocket`.

    ::

        class Room(WebSocketMixin, TemplateView):
            template_name = "room.html"

            def websocket(self, request, ws, room):
                for message in ws:
                    ...
    """

    #: as the parameters of :func:`dualws.websocket`
    subprotocols: tuple[str, ...] = ()
    compression: bool | None = None

    def websocket(self, request: HttpRequest, ws: Any, *args: Any, **kwargs: Any) -> Any:
        """The handler: a method in the blocking style, an ``async def``, or instead of a method
        a :class:`dualws.WebSocketView` subclass.

        :param request: the request of the handshake
        :param ws: the open websocket
        """
        raise NotImplementedError(f"{type(self).__qualname__} has no method websocket()")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Answer the handshake, or serve the request as ``View`` does."""
        if not is_websocket(request):
            return super().dispatch(request, *args, **kwargs)
        if not self.view_is_async:
            return self._shake_hands(request, *args, **kwargs)
        from asgiref.sync import sync_to_async

        # Loads the user, which a coroutine may not do itself.
        return sync_to_async(self._shake_hands)(request, *args, **kwargs)

    def _shake_hands(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        view = websocket(
            self.websocket, subprotocols=self.subprotocols, compression=self.compression
        )
        return view(request, *args, **kwargs)
