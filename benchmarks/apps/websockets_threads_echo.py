"""websockets with a thread for each connection: ``python -m websockets_threads_echo PORT``."""

from __future__ import annotations

import sys

from room import READY, members
from websockets.sync.server import ServerConnection, serve


def echo(connection: ServerConnection) -> None:
    shared = connection.request is not None and connection.request.path == "/fan-out/"
    if shared:
        members.add(connection)
        connection.send(READY)
    try:
        for message in connection:
            for peer in tuple(members) if shared else (connection,):
                peer.send(message)
    finally:
        members.discard(connection)


if __name__ == "__main__":
    with serve(
        echo, "127.0.0.1", int(sys.argv[1]), max_size=64 * 1024 * 1024, ping_interval=None
    ) as server:
        server.serve_forever()
