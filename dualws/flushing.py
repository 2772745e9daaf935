"""Sends what a connection keeps to go out together with more, when that does not come soon.

Law: an answer is late by :data:`DELAY` at most, however busy its handler is with something
else, as long as the loop gets its turn. One timer serves all connections of a server.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dualws.contract import Runtime
    from dualws.sending import Sender

#: Seconds that an answer waits for the next one.
DELAY = 0.001


class Flusher:
    """The connections of one server that keep something back.

    :param runtime: the server's runtime
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._waiting: deque[Sender] = deque()
        self._armed = False

    def add(self, connection: Sender) -> None:
        """*connection* keeps something back; from any thread."""
        self._waiting.append(connection)
        if not self._armed:
            self._armed = True
            self._runtime.call_later(DELAY, self._flush)

    def _flush(self) -> None:
        self._armed = False  # first: who comes from now on sets the timer again
        waiting = self._waiting
        while waiting:
            waiting.popleft().flush()
