"""websockets on asyncio: ``python -m websockets_echo PORT``."""

from __future__ import annotations

import asyncio
import sys

from websockets.asyncio.server import ServerConnection, serve


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def main() -> None:
    async with serve(echo, "127.0.0.1", int(sys.argv[1]), max_size=64 * 1024 * 1024):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
