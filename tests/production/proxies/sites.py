"""A site as it runs in production: two dualws servers behind a proxy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from support.proxies import Certificate, Proxy, free_ports
from support.raw import RawClient, Response
from support.server import LiveServer
from support.timing import eventually

#: Options of dualws behind a proxy on the same machine.
BEHIND_A_PROXY = ("--trusted-proxies", "127.0.0.1")


def each(proxies: Iterable[type[Proxy]]) -> list[Any]:
    """*proxies* as parameters of the fixture ``proxied``, each with the programs that it needs."""
    return [
        pytest.param(kind, marks=pytest.mark.needs(kind.program, "openssl"), id=kind.program)
        for kind in proxies
    ]


class Site:
    """Two servers with the test project, one database, and a proxy in front of them.

    Anything that takes a server's ``connect``, ``netloc`` and ``get`` takes this as well.

    :param kind: the proxy
    :param backend: what the servers run on
    :param folder: an empty folder
    :param options: more options of the servers
    :param changes: replacements in the proxy's configuration
    """

    def __init__(
        self,
        kind: type[Proxy],
        backend: str,
        folder: Path,
        options: Sequence[str] = (),
        changes: Mapping[str, str] | None = None,
    ) -> None:
        self.backend = backend
        self.folder = folder
        self.options = (*BEHIND_A_PROXY, *options)
        self.ports = free_ports(2)
        self.servers: list[LiveServer] = []
        self._stops = contextlib.ExitStack()
        with contextlib.ExitStack() as undo:
            undo.callback(self.stop)
            # One after the other: the first one makes the tables.
            for port in self.ports:
                self.servers.append(self.start_server(port))
            proxy_folder = folder / "proxy"
            proxy_folder.mkdir()
            self.certificate = Certificate.make(proxy_folder)
            self.proxy = kind(proxy_folder, self.ports, self.certificate, changes)
            self._stops.callback(self.proxy.stop)
            undo.pop_all()

    def start_server(self, port: int) -> LiveServer:
        """A server on *port*."""
        return LiveServer(
            "support.project.wsgi",
            backend=self.backend,
            folder=self.folder,
            options=self.options,
            port=port,
        )

    @property
    def netloc(self) -> str:
        """What a client puts into ``Host``."""
        return self.proxy.netloc

    @property
    def origin(self) -> str:
        """Origin of the site's own pages."""
        return f"https://{self.netloc}"

    def connect(self) -> RawClient:
        """A connection through the proxy."""
        return self.proxy.connect()

    def get(self, path: str, *headers: tuple[str, str]) -> Response:
        """One GET on a connection of its own."""
        with self.connect() as client:
            fields = (("Host", self.netloc), ("Connection", "close"), *headers)
            client.send_request("GET", path, *fields)
            return client.read_response()

    def connections(self) -> list[int]:
        """Live websockets of each server, asked past the proxy."""
        return [server.get_json("/ws/census/")[0] for server in self.servers]

    def noted(self, key: str) -> list[Any]:
        """What one of the servers remembers under *key*, once one does."""

        def look() -> list[Any]:
            answers = (server.get_json("/notes/", key=key, count=0) for server in self.servers)
            return [note for answer in answers for note in answer]

        return eventually(look, what=f"no server notes {key}")

    def check(self) -> None:
        """Fail on tracebacks that nobody expected."""
        for server in self.servers:
            server.check()

    def output(self) -> str:
        """All that its processes printed."""
        printed = [server.output() for server in self.servers]
        return "\n".join([*printed, self.proxy.output.text()])

    def stop(self) -> None:
        """End all of it."""
        for server in self.servers:
            self._stops.callback(server.stop)
        self._stops.close()
