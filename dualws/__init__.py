"""Websockets inside an ordinary WSGI Django project, on gevent or on Tornado.

The public names load when they are first used, so ``import dualws`` imports neither
Django nor a server library: what must be patched first can still be patched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dualws.async_face import AsyncWebSocket
    from dualws.decorators import websocket
    from dualws.errors import (
        DualwsError,
        HandshakeError,
        InvalidMessage,
        MessageTooBig,
        SendTimeout,
        WebSocketClosed,
        WebSocketError,
    )
    from dualws.events import WebSocketView
    from dualws.faces import WebSocket
    from dualws.pubsub import publish
    from dualws.views import WebSocketMixin

__version__ = "0.1.0"

_HOME = {
    "AsyncWebSocket": "dualws.async_face",
    "DualwsError": "dualws.errors",
    "HandshakeError": "dualws.errors",
    "InvalidMessage": "dualws.errors",
    "MessageTooBig": "dualws.errors",
    "SendTimeout": "dualws.errors",
    "WebSocket": "dualws.faces",
    "WebSocketClosed": "dualws.errors",
    "WebSocketError": "dualws.errors",
    "WebSocketMixin": "dualws.views",
    "WebSocketView": "dualws.events",
    "publish": "dualws.pubsub",
    "websocket": "dualws.decorators",
}

__all__ = [
    "AsyncWebSocket",
    "DualwsError",
    "HandshakeError",
    "InvalidMessage",
    "MessageTooBig",
    "SendTimeout",
    "WebSocket",
    "WebSocketClosed",
    "WebSocketError",
    "WebSocketMixin",
    "WebSocketView",
    "publish",
    "websocket",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'dualws' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
