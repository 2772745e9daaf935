"""Programs in the ways of gevent-websocket; they import that package and nothing of dualws."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterable
from typing import Any

from geventwebsocket import Resource, WebSocketApplication
from geventwebsocket.exceptions import WebSocketError
from geventwebsocket.protocols.base import BaseProtocol

from support.notes import note, wait_for_notes


class Life(WebSocketApplication):
    """Notes its calls."""

    def on_open(self) -> None:
        note("life", "open")

    def on_message(self, message: Any) -> None:
        note("life", ["message", message])

    def on_close(self, reason: Any) -> None:
        note("life", "close")


class Late(WebSocketApplication):
    """Sends when the client has gone."""

    def on_message(self, message: Any) -> None:
        if message is None:
            note("late", self.ws.closed)
            try:
                self.ws.send("too late")
            except WebSocketError:
                note("late", "WebSocketError")

    def on_close(self, reason: Any) -> None:
        me = self.ws.handler.active_client
        note("late", [1, me.ws is self.ws and me.address == self.ws.handler.client_address])


class LoudProtocol(BaseProtocol):
    """A protocol between the websocket and the application, with a name on the wire."""

    PROTOCOL_NAME = "loud"

    def on_message(self, message: Any) -> None:
        """Hand it on in capitals."""
        if message is not None:
            super().on_message(message.upper())


class Loud(WebSocketApplication):
    """Echoes, as applications do that define nothing."""

    protocol_class = LoudProtocol


def loop(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """The loop of gevent-websocket's first example, in an application of its own."""
    ws = environ["wsgi.websocket"]
    ws.send(f"{ws.path} {ws.origin} {ws.version}")
    while True:
        message = ws.receive()
        if message is None:
            break
        ws.send(message)
    return []


def iterates(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """The same as a loop over the websocket, and asks once more when that has ended."""
    ws = environ["wsgi.websocket"]
    for message in ws:
        ws.send(message)
    try:
        ws.receive()
    except WebSocketError:
        note("iterates", "WebSocketError")
    return []


def log(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Wait for ``count`` notes of ``key``."""
    query = dict(urllib.parse.parse_qsl(environ["QUERY_STRING"]))
    body = json.dumps(wait_for_notes(query["key"], int(query["count"]))).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]


_resource = Resource(
    [("^/notes", Life), ("^/late", Late), ("^/loud", Loud), ("^/log", log)],
)


class Programs:
    """The resource, and beside it functions that take what comes."""

    app_protocol = staticmethod(_resource.app_protocol)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        function = {"/loop": loop, "/iterates": iterates}.get(environ["PATH_INFO"])
        if function is not None:
            return function(environ, start_response)
        answer: Iterable[bytes] = _resource(environ, start_response)
        return answer


application = Programs()
