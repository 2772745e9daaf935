"""A server of a few lines, whose answers a test decides."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

#: Given the connection and all connections so far, talks until it returns.
Talk = Callable[[socket.socket, list[socket.socket]], None]


@contextlib.contextmanager
def serving(talk: Talk) -> Iterator[int]:
    """Run *talk* in a thread for each connection; gives the port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    members: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def one(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            talk(sock, members)
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                members.append(sock)
                threads.append(threading.Thread(target=one, args=(sock,), daemon=True))
                threads[-1].start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield listener.getsockname()[1]
    finally:
        # A listener that is only closed would not wake the thread in accept().
        listener.shutdown(socket.SHUT_RDWR)
        acceptor.join()
        listener.close()
        for sock in members:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        for sock in members:
            sock.close()


def head_of(sock: socket.socket) -> bytes:
    """Read up to the blank line."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = sock.recv(1)
        if not data:
            break
        head += data
    return head


def echo(sock: socket.socket, members: list[socket.socket]) -> None:
    """Send back what comes, in pieces that do not end where messages end."""
    while data := sock.recv(7):
        sock.sendall(data)
