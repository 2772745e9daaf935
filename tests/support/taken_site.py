"""Takes the socket of every handshake, as websocket libraries do; no frames here.

Law: it echoes to the end that it reads, and may still say goodbye then; at ``/keep/`` it minds no
end, for as long as it can send.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    sock = environ["eventlet.input"].get_socket()
    sock.send(b"yours\n")
    while environ["PATH_INFO"] == "/keep/":
        time.sleep(0.05)
        sock.send(b"still\n")
    while data := sock.recv(4096):
        sock.send(data)
    sock.send(b"goodbye\n")
    return []
