"""The plugin: imports nothing but the contract until a server is made."""

from __future__ import annotations

import platform
import socket
from collections.abc import Sequence
from typing import ClassVar

from dualws.contract import Backend, Server, ServerConfig, WSGIApplication


class ThreadedBackend(Backend):
    """A thread for each connection; nothing is patched."""

    name: ClassVar[str] = "threads"
    summary: ClassVar[str] = "plain threads, from the standard library alone"
    # A literal: it must not change by itself when the contract does.
    contract_version: ClassVar[int] = 1

    @classmethod
    def prepare(cls) -> None:
        """Do nothing: threads need no patching."""

    def make_server(
        self,
        application: WSGIApplication,
        config: ServerConfig,
        sockets: Sequence[socket.socket],
    ) -> Server:
        """A server for *application* on listening *sockets*, not running yet."""
        from dualws_threaded.server import ThreadedServer

        return ThreadedServer(self, application, config, sockets)

    @classmethod
    def versions(cls) -> str:
        """Python's version."""
        return f"Python {platform.python_version()}"
