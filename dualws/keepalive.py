"""What the server does for all its websockets at once: keepalive and the goodbye.

Law: one timer serves every connection; nothing is started for a single one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualws.contract import Timer

if TYPE_CHECKING:
    from dualws.contract import Server

#: Seconds that peers have to answer the goodbye when the server stops.
GOODBYE = 1.0
#: Seconds that the loop has to notice that aborted connections are lost.
_LOSS = 0.2
#: Ticks in the shorter one of ping interval and ping timeout: how exact both are.
_TICKS = 4


class Keepalive:
    """Pings silent peers and gives up those that stay silent.

    :param server: its ``ping_interval`` and ``ping_timeout`` rule; an interval of 0
        switches keepalive off
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._timer: Timer | None = None
        config = server.config
        if config.ping_interval <= 0:
            return
        self._period = min(config.ping_interval, config.ping_timeout) / _TICKS
        self._ping_after = round(config.ping_interval / self._period)
        self._dead_after = self._ping_after + round(config.ping_timeout / self._period)
        self._schedule()

    def _schedule(self) -> None:
        self._timer = self._server.runtime.call_later(self._period, self._tick)

    def _tick(self) -> None:
        for connection in tuple(self._server.connections):
            connection.tick(self._ping_after, self._dead_after)
        self._schedule()

    def stop(self) -> None:
        """Tick no more."""
        if self._timer is not None:
            self._timer.cancel()


def close_all(server: Server) -> None:
    """Say goodbye (1001) to every peer and wait, at most :data:`GOODBYE` seconds."""
    connections = tuple(server.connections)
    if not connections:
        return
    waiter = server.runtime.waiter()
    server.on_empty = waiter.wake
    for connection in connections:
        connection.close(1001, "the server is shutting down")
    if server.connections and not waiter.wait(GOODBYE):
        lost = server.runtime.waiter()
        server.on_empty = lost.wake
        for connection in tuple(server.connections):
            connection.abort()
        # So that they are counted and logged, which happens in the loop.
        if server.connections:
            lost.wait(_LOSS)
        server.on_empty = None
