"""Bytes echoed by a thread for each connection: ``python -m raw_threads PORT``."""

from __future__ import annotations

import socket
import sys
import threading


def echo(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with sock:
        try:
            while data := sock.recv(64 * 1024):
                sock.sendall(data)
        except OSError:
            pass


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128) as listener:
        while True:
            threading.Thread(target=echo, args=listener.accept()[:1], daemon=True).start()
