"""Django's test client, which also opens websockets.

Law: what a websocket meets is real (WebSocketMiddleware, Django's whole stack, the
connection, frames, limits, close codes), only the wire is memory. A handshake is a request like
the client's others: it carries its cookies and headers, keeps the cookies of the response,
raises what the view raised.
"""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from django.test import Client
from django.test.client import ClientHandler

from dualws.errors import DualwsError
from dualws.testing.handshake import Handshake
from dualws.testing.peer import OFFER
from dualws.testing.socket import ClientWebSocket

#: environ key of a request that :meth:`WebSocketClient.websocket` makes
_ATTEMPT = "dualws.testing.handshake"

#: For ``websocket(origin=…)``: the page is of the site that it connects to.
SAME_ORIGIN = "same origin"


class WebSocketRefused(DualwsError):
    """The handshake was answered with an ordinary response.

    :param path: where the websocket was to lead
    :param response: the answer, as Django's test client returns it: ``status_code``,
        ``content``, ``context``, ``templates``, ``assertRedirects`` …
    """

    def __init__(self, path: str, response: Any) -> None:
        why = f"{response.status_code} {response.reason_phrase}"
        if 300 <= response.status_code < 400:
            why += f" to {response.get('Location')}"
        elif not response.streaming and response.get("Content-Type", "").startswith("text/plain"):
            why += f": {response.text.strip()[:200]}"
        super().__init__(f"the handshake of {path} was answered with {why}")
        self.response = response


class _Handler(ClientHandler):
    """Answers handshakes by the middleware, and all else as ever."""

    def __call__(self, environ: dict[str, Any]) -> Any:
        handshake: Handshake | None = environ.get(_ATTEMPT)
        if handshake is None:
            return super().__call__(environ)
        return handshake.ask(environ, super().__call__)


class WebSocketClient(Client):
    """``django.test.Client`` with :meth:`websocket`.

    Set ``client_class = WebSocketClient`` in a test case, or make one::

        with self.client.websocket("/rooms/blue/") as ws:
            ws.send("hello")
            self.assertEqual(ws.receive(), "hello")

    The arguments are those of ``django.test.Client``. ``raise_request_exception=False`` also
    leaves exceptions of websocket handlers to the close code, 1011.
    """

    #: seconds that everything that is waited for may take
    websocket_timeout = 5.0
    #: seconds that the test waits, after each thing that it sent, for a handler that does not
    #: come back to wait for the next message
    websocket_patience = 1.0

    def __init__(self, enforce_csrf_checks: bool = False, *args: Any, **defaults: Any) -> None:
        super().__init__(enforce_csrf_checks, *args, **defaults)
        self.handler = _Handler(enforce_csrf_checks)

    def websocket(
        self,
        path: str,
        *,
        subprotocols: Sequence[str] = (),
        origin: str | None = SAME_ORIGIN,
        compression: bool = True,
        secure: bool = False,
        headers: Mapping[str, Any] | None = None,
        query_params: Mapping[str, Any] | None = None,
        **extra: Any,
    ) -> ClientWebSocket:
        """Open a websocket.

        :param path: path of the view, with a query or without
        :param subprotocols: those that the client offers, in its order of preference
        :param origin: the page's origin; default: the site's own, as a browser sends it;
            None as a program that is no browser
        :param compression: offer permessage-deflate, as browsers do
        :param secure: ``wss``: the request is secure
        :param headers: further headers of the handshake
        :param query_params: for the query
        :param extra: further items of the WSGI environ
        :raises WebSocketRefused: the handshake was answered with another response than 101
        :raises TimeoutError: it was not answered within ``websocket_timeout`` seconds
        :raises Exception: what the view raised, as in Django's test client
        """
        changed = threading.Condition()
        handshake = Handshake(changed)
        environ = {
            _ATTEMPT: handshake,
            **self._handshake_headers(subprotocols, compression),
            **extra,
        }
        given = {name.lower(): value for name, value in (headers or {}).items()}
        host = environ.get("HTTP_HOST") or self.defaults.get("HTTP_HOST") or _host(self, extra)
        if "host" not in given:
            environ["HTTP_HOST"] = host
        if "origin" not in given and origin is not None:
            site = f"{'https' if secure else 'http'}://{given.get('host', host)}"
            environ.setdefault("HTTP_ORIGIN", site if origin == SAME_ORIGIN else origin)
        handshake.timeout = self.websocket_timeout
        response = self.get(
            path, secure=secure, headers=headers, query_params=query_params, **environ
        )
        if response.status_code != 101:
            raise WebSocketRefused(path, response)
        return ClientWebSocket(
            path,
            response,
            handshake,
            changed,
            timeout=self.websocket_timeout,
            patience=self.websocket_patience,
            raise_failures=self.raise_request_exception,
        )

    def handshake(self, path: str, **options: Any) -> Any:
        """The response to a handshake, whatever it is; a websocket that opens is closed again.

        :param options: as in :meth:`websocket`
        """
        try:
            with self.websocket(path, **options) as ws:
                return ws.response
        except WebSocketRefused as refused:
            return refused.response

    def _handshake_headers(self, subprotocols: Sequence[str], compression: bool) -> dict[str, Any]:
        if isinstance(subprotocols, str):
            raise TypeError(f"subprotocols is a list of names: [{subprotocols!r}]")
        headers = {
            "HTTP_UPGRADE": "websocket",
            "HTTP_CONNECTION": "Upgrade",
            "HTTP_SEC_WEBSOCKET_KEY": base64.b64encode(os.urandom(16)).decode("ascii"),
            "HTTP_SEC_WEBSOCKET_VERSION": "13",
        }
        if subprotocols:
            headers["HTTP_SEC_WEBSOCKET_PROTOCOL"] = ", ".join(subprotocols)
        if compression:
            headers["HTTP_SEC_WEBSOCKET_EXTENSIONS"] = OFFER
        return headers


def _host(client: Client, extra: Mapping[str, Any]) -> str:
    name: str = extra.get("SERVER_NAME") or client.defaults.get("SERVER_NAME") or "testserver"
    return name


__all__ = ["SAME_ORIGIN", "WebSocketClient", "WebSocketRefused"]
