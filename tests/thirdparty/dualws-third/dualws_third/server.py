"""A server on wsgiref: one loop that accepts, a daemon thread for each connection.

It offers no ``dualws.upgrade``, so an upgrade request is an ordinary one and a websocket
view answers 426: what the contract asks of a backend that speaks HTTP only.
"""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
import threading
from collections.abc import Sequence
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler

from dualws.contract import ENVIRON_SERVER, Server
from dualws_third.runtime import ThirdRuntime


class _RequestHandler(WSGIRequestHandler):
    server: Any

    def get_environ(self) -> dict[str, Any]:
        environ = super().get_environ()
        environ[ENVIRON_SERVER] = self.server.dualws
        return environ

    def address_string(self) -> str:
        return str(self.client_address[0])

    def log_message(self, format: str, *args: object) -> None:
        """No lines: the test asks for none."""


class _Facade:
    """What wsgiref's handler wants to know of its server."""

    multithread = True

    def __init__(self, server: ThirdServer, sock: socket.socket) -> None:
        self.dualws = server
        host, port = sock.getsockname()[:2]
        self.base_environ = {
            "SERVER_NAME": host,
            "GATEWAY_INTERFACE": "CGI/1.1",
            "SERVER_PORT": str(port),
            "REMOTE_HOST": "",
            "CONTENT_LENGTH": "",
            "SCRIPT_NAME": "",
        }

    def get_app(self) -> object:
        return self.dualws.application


class ThirdServer(Server):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._runtime = ThirdRuntime()
        self._wake_receiver, self._wake_sender = socket.socketpair()

    @property
    def runtime(self) -> ThirdRuntime:
        return self._runtime

    def run(self, *, stop_signals: Sequence[int] = ()) -> None:
        before = {number: signal.signal(number, self._on_signal) for number in stop_signals}
        with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:
            selector.register(self._wake_receiver, selectors.EVENT_READ)
            for sock in self.sockets:
                stack.enter_context(sock)
                sock.setblocking(False)
                selector.register(sock, selectors.EVENT_READ)
            self.opened()
            while True:
                ready = [key.fileobj for key, _ in selector.select()]
                if self._wake_receiver in ready:
                    break
                for sock in self.sockets:
                    if sock in ready:
                        self._accept(sock)
            for sock in self.sockets:
                sock.close()
            self.closing()
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(self) -> None:
        self._wake_sender.send(b"\0")

    def _on_signal(self, number: int, frame: object) -> None:
        self.stop()

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, address = listener.accept()
        except BlockingIOError:
            return
        sock.setblocking(True)
        threading.Thread(target=self._talk, args=(sock, address), daemon=True).start()

    def _talk(self, sock: socket.socket, address: tuple[str, int]) -> None:
        with sock, contextlib.suppress(ConnectionError):
            _RequestHandler(sock, address, _Facade(self, sock))
