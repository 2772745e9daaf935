"""The plugin: imports nothing but the contract until a server is made."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Sequence

from dualws.contract import Backend, Server, ServerConfig, WSGIApplication


class ThirdBackend(Backend):
    """A thread for each connection, from the standard library."""

    name = "third"
    summary = "a thread for each connection, from the standard library"
    contract_version = 1

    @classmethod
    def prepare(cls) -> None:
        """Nothing to patch. Tells, for tests, what had been imported until now."""
        report = os.environ.get("DUALWS_THIRD_REPORT")
        if report:
            with open(report, "a", encoding="utf-8") as file:
                file.write(json.dumps(sorted(sys.modules)) + "\n")

    def make_server(
        self,
        application: WSGIApplication,
        config: ServerConfig,
        sockets: Sequence[socket.socket],
    ) -> Server:
        from dualws_third.server import ThirdServer

        return ThirdServer(self, application, config, sockets)

    @classmethod
    def versions(cls) -> str:
        return f"Python {sys.version.split()[0]}"
