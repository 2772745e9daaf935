"""Database connections of websocket handlers.

Law: a parked websocket holds no connection. Django keeps one for each thread (or greenlet)
and gives it back when a request ends; a handler outlives its request, so what it holds
is given back a moment after it begins to wait for the next message, and at its end.
Never inside ``atomic()``: a transaction is the handler's own business.

Imports Django only when Django's database layer is in use.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

#: Seconds that a waiting handler keeps its connections: messages that come in quick
#: succession need not connect again for each.
GRACE = 0.1

#: threads or greenlets that run blocking handlers
_handlers: set[int] = set()
#: those among them that may hold connections
_holders: set[int] = set()


def begin_handler() -> None:
    """This thread or greenlet runs a blocking handler from now on."""
    if "django.db" not in sys.modules:
        return
    from django.db import connections
    from django.db.backends.signals import connection_created

    connection_created.connect(_connected, dispatch_uid="dualws.database")
    ident = threading.get_ident()
    _handlers.add(ident)
    if any(c.connection is not None for c in connections.all(initialized_only=True)):
        _holders.add(ident)


def end_handler() -> None:
    """The handler is over: give back what it holds."""
    ident = threading.get_ident()
    if ident in _handlers:
        _handlers.discard(ident)
        _holders.discard(ident)
        release_connections()


def may_hold_connections() -> bool:
    """Whether this thread or greenlet runs a handler that has used the database since it parked."""
    return bool(_holders) and threading.get_ident() in _holders


def park() -> None:
    """The handler waits: give back its connections, unless it waits inside ``atomic()``."""
    from django.db import connections

    if any(c.in_atomic_block for c in connections.all(initialized_only=True)):
        return
    _holders.discard(threading.get_ident())
    release_connections()


def release_connections() -> None:
    """Close this thread's or greenlet's database connections (or return them to the pool)."""
    if "django.db" in sys.modules:
        from django.db import connections

        connections.close_all()


def _connected(**_: Any) -> None:
    ident = threading.get_ident()
    if ident in _handlers:
        _holders.add(ident)
