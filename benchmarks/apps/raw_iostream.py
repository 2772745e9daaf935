"""Bytes echoed by Tornado's IOStream: ``python -m raw_iostream PORT``."""

from __future__ import annotations

import asyncio
import sys

from tornado.iostream import IOStream, StreamClosedError
from tornado.tcpserver import TCPServer


class Echo(TCPServer):
    async def handle_stream(self, stream: IOStream, address: tuple[str, int]) -> None:
        stream.set_nodelay(True)
        try:
            while True:
                await stream.write(await stream.read_bytes(64 * 1024, partial=True))
        except StreamClosedError:
            pass


async def main() -> None:
    Echo().listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
