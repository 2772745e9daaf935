"""Seeing what a server does: access log, figures, health checks, spans, what blocks the loop.

Law: *who does not ask does not pay*. A connection counts its messages and bytes in plain
integers, whoever looks; everything else is made when the server opens, and only what its
configuration asks for. Nothing here is called for a message.

What must be seen while the loop is stuck, or every thread busy, runs in real threads of its
own: the endpoint (:mod:`~dualws.observing.endpoint`) and the watch over the loop
(:mod:`~dualws.observing.watchdog`).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dualws.contract import Server
    from dualws.observing.endpoint import Endpoint
    from dualws.observing.watchdog import Watchdog

__all__ = ["Observers", "begin"]


class Observers:
    """What observes one server.

    :param watchdog: the watch over its loop
    :param endpoint: answers on ``metrics_bind``
    """

    def __init__(self, watchdog: Watchdog | None, endpoint: Endpoint | None) -> None:
        self.watchdog = watchdog
        self.endpoint = endpoint

    def end(self) -> None:
        """The server has ended."""
        if self.watchdog is not None:
            self.watchdog.stop()
        if self.endpoint is not None:
            self.endpoint.stop()


def begin(server: Server) -> Observers:
    """Observe *server* as its configuration asks; in the loop's thread, as it opens.

    :raises AddressUnavailable: an address of ``metrics_bind`` cannot be listened on
    :raises ConfigurationError: a library that is asked for is missing
    """
    from dualws.observing import tracing

    config = server.config
    tracer = tracing.tracer() if config.tracing else None
    if server.on_access is not None or config.access_log or config.metrics_bind or tracer:
        from dualws.observing.seeing import Seeing

        server.seeing = Seeing(server, tracer)
        if tracer is not None:
            server.wrap(functools.partial(tracing.TracedApplication, tracing=tracer))
    if config.health_checks:
        from dualws.observing.health import HealthChecks

        server.wrap(functools.partial(HealthChecks, server=server))
    watchdog = endpoint = None
    if config.blocked_warning or config.metrics_bind or config.health_checks:
        from dualws.observing.watchdog import Watchdog

        watchdog = server.watchdog = Watchdog(server)
        watchdog.start()
    if config.metrics_bind:
        from dualws.observing.endpoint import Endpoint

        endpoint = Endpoint(server)
        endpoint.start()
    return Observers(watchdog, endpoint)
