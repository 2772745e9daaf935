"""The bytes of an upgraded connection: one io watcher of the hub, one recv for what it reports.

Law: *a message costs one recv and one send*. The watcher stays on while the core wants
data, its callback receives and parses in the hub, and nothing is asked of the kernel to
find out that there is nothing more.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from dualws.contract import ConnectionOwner
from dualws.transport import SocketTransport
from dualws_gevent.runtime import Runtime

_READ = 1
_WRITE = 2


class Transport(SocketTransport):
    """Implements :class:`dualws.contract.Transport` on a hub.

    :param runtime: the server's runtime
    :param sock: connected non-blocking native socket; the transport owns it from now on
    :param owner: receives what arrives
    :param early: bytes that came together with the request
    :param live: the server's transports: this one is in it until the connection is lost
    """

    def __init__(
        self,
        runtime: Runtime,
        sock: socket.socket,
        owner: ConnectionOwner,
        early: bytes,
        live: set[Transport],
    ) -> None:
        super().__init__(sock, owner, runtime.lock(), early)
        self._runtime = runtime
        self._reader: Any = runtime.loop.io(sock.fileno(), _READ)
        self._writer: Any = None
        self._reading = False
        self._live = live
        live.add(self)

    def _call_soon(self, function: Callable[[], object]) -> None:
        self._runtime.call_soon(self._guarded, function)

    def _guarded(self, function: Callable[[], object]) -> None:
        """Run a callback of the hub; what it raises ends this connection and no other."""
        try:
            function()
        except Exception as error:
            self._broken(error)

    def _writable(self) -> None:
        self._guarded(self._on_writable)

    def _watch_reading(self, on: bool) -> None:
        if self._closed:
            self._live.discard(self)
            reader, self._reader = self._reader, None
            if reader is not None:
                reader.stop()
                reader.close()
        elif on is not self._reading:
            self._reading = on
            if on:
                self._reader.start(self._on_readable)
            else:
                self._reader.stop()

    def _watch_writing(self, on: bool) -> None:
        if on and not self._closed:
            if self._writer is None:
                self._writer = self._runtime.loop.io(self._sock.fileno(), _WRITE)
            self._writer.start(self._writable)
        elif self._writer is not None:
            # Slow peers are few: a watcher is made anew rather than kept for each connection.
            writer, self._writer = self._writer, None
            writer.stop()
            writer.close()
