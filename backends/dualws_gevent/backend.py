"""The gevent backend: a greenlet for each connection, in one thread."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import ClassVar

# At the top, so that the plugin cannot be loaded without it; this patches nothing yet.
import gevent
import gevent.monkey
from gevent._hub_local import get_hub_if_exists

from dualws import hot
from dualws.contract import Backend, Server, ServerConfig, WSGIApplication


class GeventBackend(Backend):
    """Runs a project on gevent, with the standard library made cooperative."""

    name: ClassVar[str] = "gevent"
    summary: ClassVar[str] = "greenlets: blocking code, thousands of connections, one thread"
    contract_version: ClassVar[int] = 1

    @classmethod
    def prepare(cls) -> None:
        """Make the standard library and the database drivers cooperative, and greenlets cheap.

        :raises PreparedTooLate: something that had to come later is already imported
        """
        from dualws_gevent.drivers import prepare

        prepare()
        hot.keep_stacks()

    def make_server(
        self,
        application: WSGIApplication,
        config: ServerConfig,
        sockets: Sequence[socket.socket],
    ) -> Server:
        """A server for *application* on listening *sockets*, not running yet."""
        from dualws_gevent.server import WebSocketServer

        return WebSocketServer(self, application, config, sockets)

    @classmethod
    def before_fork(cls) -> None:
        """Let this process fork and wait as if it were not patched: its hub does not run."""
        from dualws_gevent import forking

        forking.before_fork()

    @classmethod
    def after_fork(cls) -> None:
        """Let the hub forget the process that this one was forked from."""
        from dualws_gevent import forking

        forking.after_fork()

    @classmethod
    def leave_thread(cls) -> None:
        """Destroy this thread's hub; a patched process has a single one, which is kept."""
        hub = get_hub_if_exists()
        if hub is not None and not gevent.monkey.is_module_patched("threading"):
            hub.destroy(destroy_loop=True)

    @classmethod
    def versions(cls) -> str:
        """gevent's version."""
        return f"gevent {gevent.__version__}"
