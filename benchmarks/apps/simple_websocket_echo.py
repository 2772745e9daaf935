"""simple-websocket under any WSGI server that it knows: ``simple_websocket_echo:application``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from room import READY, members
from simple_websocket import ConnectionClosed, Server


class _Taken:
    """Keeps gunicorn from answering on a socket that was taken."""

    def __iter__(self) -> _Taken:
        return self

    def __next__(self) -> bytes:
        raise StopIteration


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if "HTTP_UPGRADE" not in environ:
        start_response("426 Upgrade Required", [("Content-Length", "0")])
        return []
    socket = Server.accept(environ)
    shared = environ["PATH_INFO"] == "/fan-out/"
    try:
        if shared:
            members.add(socket)
            socket.send(READY)
        while True:
            message = socket.receive()
            for peer in tuple(members) if shared else (socket,):
                peer.send(message)
    except ConnectionClosed:
        pass
    finally:
        members.discard(socket)
    # What simple-websocket's own users do: each server has its way to be told that the socket
    # is gone.
    if socket.mode == "gunicorn":
        raise StopIteration
    return _Taken()
