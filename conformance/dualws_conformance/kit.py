"""What a case works with: connections to the live server, its blackboard, servers of its own.

Law: one :class:`Kit` serves one run of one case; whatever it opened is closed after it.
"""

from __future__ import annotations

import itertools
import json
import os
import urllib.parse
from collections.abc import Callable
from typing import Any

from dualws_conformance import frames
from dualws_conformance.live import LiveServer
from dualws_conformance.model import equal, fail
from dualws_conformance.peer import Peer
from dualws_conformance.wire import Client, Head, Response, Transcript

_keys = itertools.count(1)


class Kit:
    """The hands of a running case.

    :param server: the server that all cases share
    :param style: one of ``model.STYLES``; ``plain`` without a handler
    :param quick: measure with fewer repetitions
    :param others: makes servers with more options, shared by all cases that ask for the same
    """

    def __init__(
        self,
        server: LiveServer,
        style: str,
        *,
        quick: bool = False,
        others: Callable[..., LiveServer] | None = None,
    ) -> None:
        self.server = server
        self._others = others
        self.style = style
        self.quick = quick
        self.transcripts: list[Transcript] = []
        self._clients: list[Client] = []
        self._servers: list[LiveServer] = []

    # -- connections ---------------------------------------------------------------

    def connect(self, receive_buffer: int | None = None) -> Client:
        """A new connection, closed when the case is over."""
        transcript = Transcript()
        client = self.server.connect(transcript, receive_buffer)
        self.transcripts.append(transcript)
        self._clients.append(client)
        return client

    def get(self, path: str, **query: object) -> Response:
        """One GET on a connection of its own, which is not in the transcript."""
        if query:
            path += "?" + urllib.parse.urlencode(query)
        with self.server.connect() as client:
            client.request("GET", path, ("Host", self.host), ("Connection", "close"))
            return client.response()

    def json(self, path: str, **query: object) -> Any:
        """One GET whose answer is 200 and JSON."""
        answer = self.get(path, **query)
        equal(answer.status, 200, f"the status of GET {path}")
        return json.loads(answer.body)

    @property
    def host(self) -> str:
        """Value of the Host field."""
        return self.server.netloc

    @property
    def origin(self) -> str:
        """The server's own origin."""
        return f"{self.server.scheme}://{self.host}"

    # -- websockets ----------------------------------------------------------------

    def path(self, handler: str, query: str = "") -> str:
        """Address of the handler of that name in this case's style."""
        style = "blocking" if self.style == "plain" else self.style
        return f"/{style}/{handler}/" + (f"?{query}" if query else "")

    def upgrade(
        self,
        path: str,
        *fields: tuple[str, str],
        client: Client | None = None,
        key: str | None = None,
        version: str = "13",
        early: bytes = b"",
    ) -> tuple[Client, Head]:
        """Send a valid opening handshake; the connection and the answer's head.

        :param fields: more fields
        :param early: bytes sent in one piece with the request
        """
        client = client or self.connect()
        key = key or frames.new_key()
        client.request(
            "GET",
            path,
            ("Host", self.host),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", key),
            ("Sec-WebSocket-Version", version),
            *fields,
            body=early,
        )
        head = client.read_head()
        if head.status == 101:
            equal(head.get("Sec-WebSocket-Accept"), frames.accept_key(key), "the accept key")
            for name in ("Content-Length", "Transfer-Encoding"):
                if head.get(name) is not None:
                    fail(f"the 101 response has a {name} field (RFC 9110 8.6)")
        return client, head

    def open(
        self,
        handler: str = "echo",
        *fields: tuple[str, str],
        query: str = "",
        path: str | None = None,
        client: Client | None = None,
        version: str = "13",
        early: bytes = b"",
        deflate: frames.Deflate | None = None,
    ) -> Peer:
        """An open websocket to *handler*, in this case's style.

        :param path: another address instead
        :param deflate: the compression that *fields* offer
        """
        client, head = self.upgrade(
            path or self.path(handler, query), *fields, client=client, version=version, early=early
        )
        if head.status != 101:
            body, _ = client.read_body(head)
            fail(f"the handshake was answered with {head.status} ({body[:200]!r}), expected 101")
        return Peer(client, head, deflate)

    # -- the blackboard ------------------------------------------------------------

    def key(self) -> str:
        """A word that no other case uses."""
        return f"kit-{os.getpid()}-{next(_keys)}"

    def notes(self, key: str, count: int = 1) -> list[Any]:
        """The server's notes under *key*, *count* of them."""
        found: list[Any] = self.json("/notes/", key=key, count=count)
        if len(found) < count:
            fail(f"the server's application noted {found} where {count} notes were expected")
        return found

    def release(self, key: str) -> None:
        """Let one that waits for *key* in the server go on."""
        self.json("/release/", key=key)

    def state(self) -> dict[str, Any]:
        """What the server process holds."""
        held: dict[str, Any] = self.json("/state/")
        return held

    # -- servers -------------------------------------------------------------------

    def restart(self, *options: str) -> LiveServer:
        """A server of this case alone, with more *options*; everything goes to it from now on."""
        server = LiveServer(self.server.backend, options, self.server.tls)
        self._servers.append(server)
        self.server = server
        return server

    def move(self, *options: str) -> LiveServer:
        """A server with more *options* that other cases use too; everything goes to it now."""
        if self._others is None:
            return self.restart(*options)
        self.server = self._others(*options)
        return self.server

    def close(self) -> None:
        """Close what was opened."""
        for client in self._clients:
            client.close()
        for server in self._servers:
            server.stop()
