"""picows on uvloop: ``python -m picows_echo PORT``."""

from __future__ import annotations

import asyncio
import sys

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server
from room import READY, members


class Echo(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        else:
            transport.send(frame.msg_type, frame.get_payload_as_bytes())


class FanOut(WSListener):
    def on_ws_connected(self, transport: WSTransport) -> None:
        members.add(transport)
        transport.send(WSMsgType.TEXT, READY.encode())

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        else:
            data = frame.get_payload_as_bytes()
            for peer in tuple(members):
                peer.send(frame.msg_type, data)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        members.discard(transport)


def listener(request: WSUpgradeRequest) -> WSListener:
    return FanOut() if request.path == b"/fan-out/" else Echo()


async def main() -> None:
    server = await ws_create_server(
        listener, "127.0.0.1", int(sys.argv[1]), max_frame_size=64 * 1024 * 1024
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(main())
