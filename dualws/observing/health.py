"""Liveness and readiness: what an orchestrator or a load balancer asks.

Law: *alive* is a process whose loop turns; *ready* is one that takes new connections. A server
that is ending is alive and not ready, so that it gets no new ones and is not killed.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING

from dualws.contract import Environ, StartResponse, WSGIApplication

if TYPE_CHECKING:
    from dualws.contract import Server


def live(server: Server) -> tuple[int, str]:
    """Status and text of ``live_path``."""
    behind = 0.0 if server.watchdog is None else server.watchdog.behind
    if behind > server.config.live_timeout:
        return 503, f"the loop has not turned for {behind:.0f} s\n"
    return 200, "alive\n"


def ready(server: Server) -> tuple[int, str]:
    """Status and text of ``ready_path``."""
    if server.draining:
        return 503, "draining\n"
    return 200, "ready\n"


class HealthChecks:
    """Answers both paths before the project sees them.

    :param application: the project
    :param server: its server
    """

    def __init__(self, application: WSGIApplication, server: Server) -> None:
        self._application = application
        self._server = server
        self._answers = {server.config.live_path: live, server.config.ready_path: ready}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        answer = self._answers.get(environ["PATH_INFO"])
        if answer is None or environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return self._application(environ, start_response)
        status, text = answer(self._server)
        headers = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(text))),
            ("Cache-Control", "no-store"),
        ]
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [text.encode()]
