"""websockets on asyncio: ``python -m websockets_echo PORT``."""

from __future__ import annotations

import asyncio
import sys

from room import READY, members
from websockets.asyncio.server import ServerConnection, broadcast, serve


async def echo(connection: ServerConnection) -> None:
    if connection.request is not None and connection.request.path == "/fan-out/":
        members.add(connection)
        await connection.send(READY)
        try:
            async for message in connection:
                broadcast(members, message)
        finally:
            members.discard(connection)
    else:
        async for message in connection:
            await connection.send(message)


async def main() -> None:
    async with serve(
        echo, "127.0.0.1", int(sys.argv[1]), max_size=64 * 1024 * 1024, ping_interval=None
    ):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
