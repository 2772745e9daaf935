"""gevent-websocket on bare pywsgi: ``python -m gevent_websocket_echo PORT``."""

# ruff: noqa: E402  (patched before all else)

from gevent import monkey

monkey.patch_all()

import sys
from collections.abc import Callable, Iterable
from typing import Any

from gevent.pywsgi import WSGIServer
from geventwebsocket.handler import WebSocketHandler
from room import READY, members


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    websocket = environ.get("wsgi.websocket")
    if websocket is None:
        return []
    shared = environ["PATH_INFO"] == "/fan-out/"
    if shared:
        members.add(websocket)
        websocket.send(READY)
    try:
        while (message := websocket.receive()) is not None:
            for peer in tuple(members) if shared else (websocket,):
                peer.send(message)
    finally:
        members.discard(websocket)
    return []


if __name__ == "__main__":
    address = ("127.0.0.1", int(sys.argv[1]))
    WSGIServer(address, application, handler_class=WebSocketHandler, log=None).serve_forever()
