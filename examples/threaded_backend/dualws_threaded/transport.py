"""The bytes of one websocket: the core's socket transport, watched by the loop."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable

from dualws.contract import ConnectionOwner
from dualws.transport import SocketTransport
from dualws_threaded.runtime import Runtime


class Transport(SocketTransport):
    """Implements :class:`dualws.contract.Transport`.

    :param runtime: the server's runtime
    :param sock: connected non-blocking socket; owned from now on
    :param owner: receives what arrives
    :param early: bytes that came together with the request
    """

    def __init__(
        self, runtime: Runtime, sock: socket.socket, owner: ConnectionOwner, early: bytes
    ) -> None:
        super().__init__(sock, owner, runtime.lock(), early)
        self._loop = runtime.loop

    def _call_soon(self, function: Callable[[], object]) -> None:
        self._loop.call_soon(function)

    def _watch_reading(self, on: bool) -> None:
        self._watch(selectors.EVENT_READ, self._on_readable if on else None)

    def _watch_writing(self, on: bool) -> None:
        self._watch(selectors.EVENT_WRITE, self._on_writable if on else None)

    def _watch(self, event: int, callback: Callable[[], object] | None) -> None:
        self._loop.watch(self._sock, event, callback)
