"""The gentle end of a server: whatever is under way is finished, and nobody is cut off.

Law: *whoever is told to go knows that they may come back.* From the first moment on no
connection is accepted. Answers to HTTP requests say ``Connection: close``; an idle connection
is heard a little longer, because a request may be on its way on it. Websockets are closed
with 1012 (service restart), each at its own moment of the window, so that their clients do not
come back all at once; what waits to be sent goes out before. A handler that is busy
with a message when its moment comes may first finish that. Who has taken the raw socket
reads its end at its moment, since nobody else knows how to say goodbye there, and may still
send. What is left at the deadline is aborted.

Everything here runs in the loop's thread and looks around twenty times a second: there is no
timer for each connection, and no cost before the end.
"""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dualws.connection import Connection
    from dualws.contract import Server
    from dualws.raw_socket import RawSocket

_logger = logging.getLogger("dualws.server")

#: Close code (RFC 6455 section 7.4, registered at IANA) and reason.
CODE = 1012
REASON = "the server restarts"
#: Websockets closed a second at least: few of them do not need the whole window.
PACE = 25.0
#: Seconds that a busy handler may take to finish a message once its moment has come.
PATIENCE = 1.0
#: Seconds for which an idle HTTP connection is still heard.
IDLE = 1.0
#: Seconds between two looks.
_LOOK = 0.05


class Drain:
    """One server's end.

    :param server: its ``drain_window`` and ``close_timeout`` rule, within its ``drain_limit``
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        config = server.config
        self._window = config.drain_window
        whole = config.drain_window + config.close_timeout
        limit = server.drain_limit
        if limit is not None and limit < whole:
            whole = max(limit, 0.0)
            self._window = max(whole - config.close_timeout, whole / 2)
        self._whole = whole
        #: when each websocket is to be closed, in monotonic time
        self._moments: dict[Connection | RawSocket, float] = {}
        self._begun = self._end = 0.0

    def begin(self) -> None:
        """Accept no more, tell the handlers, and look around from now on; once."""
        server = self._server
        if server.draining:
            return
        server.draining = True
        if server.share is not None:
            # Few connections are no reason to leave the next ones to this process.
            server.share.leave()
        server.stop_accepting()
        self._begun = time.monotonic()
        self._plan()
        for connection in tuple(server.connections):
            connection.nudge()
        if self._moments:
            span = self._end - self._begun
            level = logging.INFO if span > PATIENCE else logging.DEBUG
            _logger.log(
                level,
                "draining: %d websockets and %d taken sockets within %.1f s",
                *(len(server.connections), len(server.raw_sockets), span),
            )
        self._look()

    def _plan(self) -> None:
        """Give each websocket its moment: even slots of the window, at random inside a slot."""
        connections: list[Connection | RawSocket]
        connections = [*self._server.connections, *self._server.raw_sockets]
        # Those of neighbours in a list may come back to the same place.
        random.shuffle(connections)
        count = len(connections)
        span = min(self._window, count / PACE)
        self._end = self._begun + span
        for number, connection in enumerate(connections):
            moment = (number + random.random()) / count * span
            self._moments[connection] = self._begun + moment

    def _look(self) -> None:
        server = self._server
        now = time.monotonic()
        for connection in tuple(server.connections):
            # A handler that waits for no message may be busy with one.
            moment = self._moment(connection, now)
            if not connection.closed and now >= moment + (not connection.awaited) * PATIENCE:
                connection.close(CODE, REASON)
        for taken in tuple(server.raw_sockets):
            if now >= self._moment(taken, now):
                taken.leave()
        if now >= self._begun + self._whole:
            self._abort()
        elif not self._is_over(now):
            server.runtime.call_later(_LOOK, self._look)
            return
        server.stop()

    def _moment(self, connection: Connection | RawSocket, now: float) -> float:
        """When *connection* is to be closed; its handshake may have been under way until now."""
        moment = self._moments.get(connection)
        if moment is None:
            moment = self._moments[connection] = random.uniform(now, max(now, self._end))
        return moment

    def _is_over(self, now: float) -> bool:
        server = self._server
        if server.connections or server.handling or server.raw_sockets:
            return False
        busy, idle = server.http_connections_left()
        return not busy and (not idle or now >= self._begun + min(IDLE, self._window))

    def _abort(self) -> None:
        server = self._server
        busy, _ = server.http_connections_left()
        _logger.warning(
            "the end of the drain: %d websockets, %d handlers, %d taken sockets and %d HTTP "
            "requests are aborted",
            *(len(server.connections), len(server.handling), len(server.raw_sockets), busy),
        )
        for connection in tuple(server.connections):
            connection.abort()
        for taken in tuple(server.raw_sockets):
            taken.abort()
