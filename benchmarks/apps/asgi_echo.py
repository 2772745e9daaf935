"""A bare ASGI application: echo and fan-out without a framework."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from room import READY, members

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def application(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    shared = scope["path"] == "/fan-out/"
    if shared:
        members.add(send)
        await send({"type": "websocket.send", "text": READY})
    try:
        while (message := await receive())["type"] == "websocket.receive":
            back = {
                "type": "websocket.send",
                "text": message.get("text"),
                "bytes": message.get("bytes"),
            }
            for peer in tuple(members) if shared else (send,):
                await peer(back)
    finally:
        members.discard(send)
