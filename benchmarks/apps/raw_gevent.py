"""Bytes echoed by a greenlet for each connection: ``python -m raw_gevent PORT``."""

from __future__ import annotations

import sys

from gevent.server import StreamServer
from gevent.socket import IPPROTO_TCP, TCP_NODELAY, socket


def echo(sock: socket, address: object) -> None:
    sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
    try:
        while data := sock.recv(64 * 1024):
            sock.sendall(data)
    except OSError:
        pass


if __name__ == "__main__":
    StreamServer(("127.0.0.1", int(sys.argv[1])), echo).serve_forever()
