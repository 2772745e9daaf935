"""aiohttp's websockets: ``python -m aiohttp_echo PORT``."""

from __future__ import annotations

import sys

from aiohttp import WSMsgType, web
from room import READY, members


async def echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(max_msg_size=64 * 1024 * 1024)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


async def fan_out(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    members.add(socket)
    await socket.send_str(READY)
    try:
        async for message in socket:
            for peer in tuple(members):
                await peer.send_str(message.data)
    finally:
        members.discard(socket)
    return socket


if __name__ == "__main__":
    application = web.Application()
    application.router.add_get("/echo/", echo)
    application.router.add_get("/fan-out/", fan_out)
    web.run_app(application, host="127.0.0.1", port=int(sys.argv[1]), access_log=None)
