"""What a type checker knows of ``ws`` and of the testing tools; checked by ``mypy --strict`` only.

Law: a project's own code needs no cast and no ignore, and what is wrong is said.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

from django.http import HttpRequest, HttpResponseBase
from django.urls import path

from dualws import (
    AsyncWebSocket,
    MessageTooBig,
    SendTimeout,
    WebSocket,
    WebSocketClosed,
    WebSocketError,
    WebSocketView,
    websocket,
)
from dualws.testing import ClientWebSocket, WebSocketClient, WebSocketRefused


@websocket
def blocking(request: HttpRequest, ws: WebSocket, room: str) -> None:
    def text() -> Iterator[str]:
        yield "one"

    def binary() -> Iterator[bytes]:
        yield b"one"

    for message in ws:
        assert_type(message, str | bytes)
    assert_type(ws.receive(timeout=1), str | bytes | None)
    assert_type(ws.receive_json(timeout=1), Any)
    assert_type(ws.closed, bool)
    assert_type(ws.draining, bool)
    assert_type(ws.close_code, int | None)
    assert_type(ws.close_reason, str)
    assert_type(ws.subprotocol, str | None)
    assert_type(ws.request, HttpRequest)
    ws.send(text())
    ws.send(binary(), compress=True)
    ws.send_json({"room": room})
    ws.ping(b"data")
    ws.close(4000, "why")
    ws.send(5)  # type: ignore[arg-type]  # it must be an error
    ws.send({"a": 1})  # type: ignore[arg-type]  # it must be an error


@websocket(subprotocols=["chat.v1"], compression=False)
async def asynchronous(request: HttpRequest, ws: AsyncWebSocket) -> None:
    async def chunks() -> AsyncIterator[str]:
        yield "one"

    async for message in ws:
        assert_type(message, str | bytes)
    assert_type(await ws.receive(timeout=1), str | bytes | None)
    assert_type(await ws.receive_json(), Any)
    assert_type(ws.draining, bool)
    await ws.send(chunks())
    await ws.send(iter([b"one"]))
    await ws.send_json([1])
    ws.ping()
    ws.close()
    await ws.send(5)  # type: ignore[arg-type]  # it must be an error


class Events(WebSocketView):
    def received_message(self, message: str | bytes) -> None:
        assert_type(self.ws, WebSocket)
        assert_type(self.ws.request, HttpRequest)


def errors(error: WebSocketError) -> tuple[int, str]:
    if isinstance(error, SendTimeout | MessageTooBig):
        assert_type(error.code, int)
    if isinstance(error, WebSocketClosed):
        return error.code, error.reason
    return 0, ""


def tools(client: WebSocketClient) -> None:
    try:
        with client.websocket("/", subprotocols=["chat.v1"]) as ws:
            assert_type(ws, ClientWebSocket)
            ws.send("x")
            assert_type(ws.receive(timeout=1), str | bytes)
            assert_type(ws.close_code, int | None)
            assert_type(ws.receive_close(), int)
            assert_type(ws.response, HttpResponseBase)
    except WebSocketRefused as refused:
        assert_type(refused.response, Any)


urlpatterns = [
    path("blocking/<slug:room>/", blocking),
    path("asynchronous/", asynchronous),
    path("events/", websocket(Events)),
]
