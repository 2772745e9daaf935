"""Answers on ``metrics_bind``: figures, liveness, readiness.

Law: *it answers whatever the server is busy with*. It runs in real threads on plain sockets, so
neither a blocked loop or hub nor a pool without a free thread keeps it from saying so. It
serves machines in the same network: one short answer for each connection.
"""

from __future__ import annotations

import _socket
import contextlib
import logging
import os
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from dualws import __version__
from dualws.observing import health
from dualws.observing.prometheus import render
from dualws.observing.shared import VARIABLE, Shared
from dualws.observing.watchdog import start_thread
from dualws.serving import listen

if TYPE_CHECKING:
    from dualws.contract import Server
    from dualws.observing.figures import Figures

_logger = logging.getLogger("dualws.server")

#: Seconds between two looks whether the server has ended, or figures are to be written down.
_TURN = 0.5
#: Seconds between two times that figures are written down for other workers, at least; and
#: how much longer than the writing itself that is.
_WRITE = 1.0
_PROPORTION = 200
#: Seconds that a client has for its request, and for reading the answer.
_PATIENCE = 3.0
_MAX_HEAD = 16 * 1024
#: Clients at a time.
_CLIENTS = 16


class Endpoint:
    """The addresses of one server's ``metrics_bind``.

    :param server: the server
    :raises AddressUnavailable: one of them cannot be listened on
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        config = server.config
        folder = config.metrics_folder or os.environ.get(VARIABLE)
        self._shared = Shared(folder) if folder else None
        self._pages: dict[str, Callable[[str], tuple[int, bytes, str]]] = {
            config.metrics_path: self._metrics,
            config.live_path: lambda accept: _text(health.live(server)),
            config.ready_path: lambda accept: _text(self._ready()),
        }
        sockets = listen.bind_sockets(config.metrics_bind, share=self._shared is not None)
        self._urls = listen.describe(sockets)
        self._sockets = [_native(sock) for sock in sockets]
        self._stopped = False
        self._serving = 0
        self._lock = server.runtime.lock()
        self._writing = server.runtime.lock()

    def start(self) -> None:
        """Begin to answer."""
        for url, sock in zip(self._urls, self._sockets, strict=True):
            _logger.info("figures on %s%s", url, self._server.config.metrics_path)
            start_thread(self._server, self._accept, sock)
        if self._shared is not None:
            start_thread(self._server, self._write)

    def stop(self) -> None:
        """The server has ended; its last figures are left to the other workers."""
        with self._writing:
            stopped, self._stopped = self._stopped, True
            if self._shared is not None and not stopped:
                try:
                    self._shared.leave(self._own())
                except OSError as error:
                    _logger.warning("the last figures are not left to other workers: %s", error)

    # -- in threads of its own ---------------------------------------------------------

    def _accept(self, sock: Any) -> None:
        sock.settimeout(_TURN)
        try:
            while not self._stopped:
                try:
                    descriptor, _ = sock._accept()  # as accept()
                except TimeoutError:
                    continue
                except OSError as error:
                    _logger.debug("metrics: cannot accept a connection: %s", error)
                    self._server.runtime.waiter().wait(_TURN)
                    continue
                with self._lock:
                    full = self._serving >= _CLIENTS
                    self._serving += not full
                if full:
                    os.close(descriptor)
                else:
                    start_thread(self._server, self._serve, descriptor)
        finally:
            sock.close()

    def _serve(self, descriptor: int) -> None:
        client = _socket.socket(fileno=descriptor)
        try:
            with contextlib.suppress(OSError):
                self._answer(client)
        finally:
            client.close()
            with self._lock:
                self._serving -= 1

    def _answer(self, client: _socket.socket) -> None:
        head = _read_head(client)
        if head is None:
            return
        line, *fields = head.decode("latin-1").split("\r\n")
        method, _, rest = line.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        accept = ""
        for field in fields:
            name, _, value = field.partition(":")
            if name.lower() == "accept":
                accept = value.strip()
        page = self._pages.get(path)
        if method not in ("GET", "HEAD"):
            status, body, kind = 405, b"only GET and HEAD\n", "text/plain"
        elif page is None:
            status, body, kind = 404, b"not here\n", "text/plain"
        else:
            status, body, kind = page(accept)
        answer = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
        ).encode("latin-1")
        client.sendall(answer if method == "HEAD" else answer + body)
        # So that the client reads the answer and no reset, whatever else it has sent.
        client.shutdown(_socket.SHUT_WR)
        client.recv(_MAX_HEAD)

    def _write(self) -> None:
        """Write this worker's figures down for the others, in the proportion that it costs."""
        waiter = self._server.runtime.waiter()
        while not self._stopped:
            begun = time.monotonic()
            with self._writing:
                if self._stopped or self._shared is None:
                    return
                try:
                    self._shared.write(self._own())
                except OSError as error:
                    _logger.warning("figures cannot be shared with other workers: %s", error)
            waiter.wait(max(_WRITE, _PROPORTION * (time.monotonic() - begun)))

    # -- pages -------------------------------------------------------------------------

    def _own(self) -> Figures:
        seeing = self._server.seeing
        assert seeing is not None
        return seeing.figures()

    def _all(self) -> Figures | None:
        """The figures of all workers; None once a single one has ended."""
        with self._writing:
            if self._stopped:
                # Who was connected to a worker that ends is answered all the same.
                return None if self._shared is None else self._shared.others()
            # Within: figures that were taken before may be written down after newer ones.
            figures = self._own()
            if self._shared is not None:
                # What has been shown must not be lost when this process is killed.
                self._shared.write(figures)
                figures.add(self._shared.others())
        return figures

    def _metrics(self, accept: str) -> tuple[int, bytes, str]:
        try:
            figures = self._all()
        except OSError as error:
            # This worker's alone would look as if the others had counted nothing.
            _logger.warning("figures cannot be shared with other workers: %s", error)
            return _text((503, "the figures of the other workers are not to be had\n"))
        if figures is None:
            return _text((503, "the server has ended\n"))
        body, kind = render(figures, self._server.backend.name, __version__, accept)
        return 200, body, kind

    def _ready(self) -> tuple[int, str]:
        """Several workers are ready while one of them is."""
        answer = health.ready(self._server)
        shared = self._shared
        if answer[0] != 200 and shared is not None:
            # Where the others' figures are not to be had, none is known to be ready.
            with self._writing, contextlib.suppress(OSError):
                if shared.others().gauges.get("dualws_workers_ready", 0):
                    return 200, "ready\n"
        return answer


def _text(answer: tuple[int, str]) -> tuple[int, bytes, str]:
    return answer[0], answer[1].encode(), "text/plain; charset=utf-8"


def _native(sock: Any) -> _socket.socket:
    """The socket without what a patched standard library has made of it."""
    return _socket.socket(sock.family, sock.type, sock.proto, fileno=sock.detach())


def _read_head(client: _socket.socket) -> bytes | None:
    """A request's head; None when it did not come in time, or is too large."""
    data = b""
    end = time.monotonic() + _PATIENCE
    while b"\r\n\r\n" not in data:
        left = end - time.monotonic()
        if left <= 0 or len(data) > _MAX_HEAD:
            return None
        client.settimeout(left)
        piece = client.recv(4096)
        if not piece:
            return None
        data += piece
    client.settimeout(_PATIENCE)
    return data.partition(b"\r\n\r\n")[0]
