"""Tools for a project's own tests of its websocket views.

==============================  ================================================================
:class:`WebSocketClient`        Django's test client that also opens websockets, in process
:class:`WebSocketRefused`       the handshake was answered with an ordinary response
:class:`WebSocketLiveServer`    a server in this process, on either backend, for real clients
:class:`WebSocketLiveServerTestCase`  ``LiveServerTestCase`` on such a server
``dualws.testing.pytest_plugin``  fixtures: ``websocket_client``, ``websocket_live_server``
==============================  ================================================================

The names load when they are first used: importing this package imports no Django.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dualws.testing.client import WebSocketClient, WebSocketRefused
    from dualws.testing.live import WebSocketLiveServer, WebSocketLiveServerTestCase
    from dualws.testing.socket import ClientWebSocket

_HOME = {
    "ClientWebSocket": "dualws.testing.socket",
    "WebSocketClient": "dualws.testing.client",
    "WebSocketLiveServer": "dualws.testing.live",
    "WebSocketLiveServerTestCase": "dualws.testing.live",
    "WebSocketRefused": "dualws.testing.client",
}

__all__ = [
    "ClientWebSocket",
    "WebSocketClient",
    "WebSocketLiveServer",
    "WebSocketLiveServerTestCase",
    "WebSocketRefused",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'dualws.testing' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOME[name]), name)
