"""The guide's Socket.IO server with two events more: a large answer, and who has left."""

from __future__ import annotations

import importlib
import os

from django.core.wsgi import get_wsgi_application

from compat.data import large

#: the module of the guide that has the server
_module = importlib.import_module(os.environ["COMPAT_SOCKETIO"])
sio = _module.sio


@sio.on("large")
def send_large(sid: str, size: int) -> bytes:
    """Data of *size* bytes."""
    return large(size)


@sio.event
def disconnect(sid: str, reason: str) -> None:
    """Tell the others."""
    sio.emit("said", "left")


application = getattr(_module, "application", None) or get_wsgi_application()
