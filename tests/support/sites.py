"""A small application for tests of servers, and the command line that serves it.

Law: it tells what the environ says, as JSON, and echoes websockets, and at ``/raw/`` the bytes of
the connection itself; at ``/large/`` it counts to 750,000; nothing else.
"""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

from support.timing import TIMEOUT

SITE = """
import json, os

def application(environ, start_response):
    if environ["PATH_INFO"] == "/raw/":
        sock = environ["eventlet.input"].get_socket()
        sock.send(b"HTTP/1.1 101 Switching Protocols\\r\\n\\r\\n")
        while data := sock.recv(65536):
            sock.sendall(data)
        return []
    if environ["PATH_INFO"] == "/large/":
        start_response("200 OK", [("Content-Length", "6000000")])
        return [b"".join(b"%07d\\n" % number for number in range(750000))]
    ws = environ.get("wsgi.websocket")
    if ws is not None:
        for message in ws:
            ws.send(message)
        return []
    told = {key: value for key, value in environ.items() if isinstance(value, str)}
    told["process"] = {
        "variables": sorted(key for key in os.environ if key.startswith("LISTEN_")),
        "bind": environ["wsgi.server"].config.bind,
    }
    body = json.dumps(told).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def make_site(folder: Path) -> Path:
    """Put the application ``site_app`` into *folder*."""
    (folder / "site_app.py").write_text(SITE)
    return folder


def words(backend: str, *options: str) -> list[str]:
    """The command line of ``dualws serve site_app``; it listens on what *options* say."""
    return ["-m", "dualws.serving.cli", "serve", "site_app", "--backend", backend, *options]


class UnixConnection(http.client.HTTPConnection):
    """The standard library's client on a unix socket."""

    def __init__(self, path: str | Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = str(path)

    def connect(self) -> None:
        """Connect to the file."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self._path)


def environ_of(connection: http.client.HTTPConnection, **headers: str) -> dict[str, Any]:
    """What ``site_app`` tells of one GET on *connection*, which is closed then.

    :param headers: more of them, with underscores for hyphens
    """
    try:
        fields = {key.replace("_", "-"): value for key, value in headers.items()}
        connection.request("GET", "/", headers=fields)
        told: dict[str, Any] = json.load(connection.getresponse())
        return told
    finally:
        connection.close()
