"""Tornado's own websockets: ``python -m tornado_echo PORT [uvloop]``."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from room import READY, members
from tornado.web import Application
from tornado.websocket import WebSocketHandler


class Echo(WebSocketHandler):
    def get_compression_options(self) -> dict[str, Any]:
        # An empty dictionary means: compress where the client offers it.
        return {}

    def on_message(self, message: str | bytes) -> None:
        self.write_message(message, binary=isinstance(message, bytes))


class FanOut(Echo):
    def open(self) -> None:
        members.add(self)
        self.write_message(READY)

    def on_message(self, message: str | bytes) -> None:
        for peer in tuple(members):
            peer.write_message(message, binary=isinstance(message, bytes))

    def on_close(self) -> None:
        members.discard(self)


async def main() -> None:
    application = Application(
        [(r"/echo/", Echo), (r"/fan-out/", FanOut)],
        websocket_max_message_size=64 * 1024 * 1024,
    )
    application.listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    if "uvloop" in sys.argv:
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())
