"""The Tornado backend: an event loop for the bytes, threads for the application.

Law: the process needs no patching, and nothing here imports Django.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import ClassVar

import tornado

from dualws import heap
from dualws.contract import Backend, ServerConfig, WSGIApplication
from dualws_tornado.loop import loop_name
from dualws_tornado.server import WebSocketServer


class TornadoBackend(Backend):
    """One event loop, blocking code in daemon threads; nothing is patched."""

    name: ClassVar[str] = "tornado"
    summary: ClassVar[str] = "an event loop with threads; every database driver works as it is"
    contract_version: ClassVar[int] = 1

    @classmethod
    def prepare(cls) -> None:
        """Let all threads share the heap of the process; they need no patching."""
        heap.share()

    def make_server(
        self,
        application: WSGIApplication,
        config: ServerConfig,
        sockets: Sequence[socket.socket],
    ) -> WebSocketServer:
        """A server for *application* on listening *sockets*, not running yet."""
        return WebSocketServer(self, application, config, sockets)

    @classmethod
    def versions(cls) -> str:
        """Tornado's version and the loop's."""
        return f"Tornado {tornado.version} on {loop_name()}"
