"""Database connections that a request leaves open, kept for the requests after it.

Law: *``CONN_MAX_AGE`` means what it means with threads*, where requests have no thread. Django
keeps a connection for the thread that made it; a greenlet ends with its client's connection, and
what it has made would be of no use to others. So what Django leaves open at the end of a request is
put here, and goes to the next request that asks for that database, which first looks, as
Django does between two requests of a thread, whether it is too old or broken. There are
never more than requests that had one at the same time, and what nobody has asked for in
:data:`IDLE` seconds is closed, as it is when a thread without work ends.

Requests only: what a handler of a websocket opens is closed while it waits (``dualws.database``).
Imports Django only when Django's database layer is in use.
"""

from __future__ import annotations

import _thread
import logging
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dualws.contract import Runtime
from dualws.database import lent, open_connections

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

_logger = logging.getLogger("dualws.server")

#: Seconds after which a connection that no request has asked for is closed.
IDLE = 10.0

#: Who serves a request just now -> where its connections come from and go to.
_serving: dict[int, Kept] = {}


class Kept:
    """The connections of one server that no request holds.

    :param runtime: the server's; every method is called where its code runs
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        #: whether any database's connections are to be kept; None while that is unknown
        self._wanted: bool | None = None
        #: alias -> connections and the times since when, those that came last at the end
        self._free: dict[str, list[tuple[float, BaseDatabaseWrapper]]] = {}
        self._timed = False

    def begin(self) -> None:
        """The running greenlet serves a request from now on."""
        if self._wanted is None:
            self._wanted = _is_wanted()
        if self._wanted:
            _serving[_thread.get_ident()] = self

    def end(self, *, whole: bool) -> None:
        """Its request is over.

        :param whole: nothing has cut it short, maybe in the midst of a query
        """
        if not self._wanted:
            return
        # Not there when another request was the first to find that they are wanted.
        _serving.pop(_thread.get_ident(), None)
        from django.db import connections

        for connection in open_connections():
            if connection.allow_thread_sharing or connection in lent:
                continue  # a test's
            # Closed inside a transaction it would stay in that, for who asks for it next.
            del connections[connection.alias]
            if whole and _is_reusable(connection):
                self._keep(connection)
            else:
                _close(connection)

    def close(self) -> None:
        """Close them all: the server has ended."""
        self._close_unused_since(time.monotonic())

    def take(self, alias: str) -> BaseDatabaseWrapper | None:
        """A connection to *alias* for the running greenlet, if there is one."""
        free = self._free.get(alias)
        if not free:
            return None
        # The one that came last: the others may come to be without use.
        _, connection = free.pop()
        _adopt(connection)
        # What Django does when a request begins, with those that its thread has.
        connection.queries_log.clear()
        connection.close_if_unusable_or_obsolete()
        return connection

    def _keep(self, connection: BaseDatabaseWrapper) -> None:
        self._free.setdefault(connection.alias, []).append((time.monotonic(), connection))
        if not self._timed:
            self._timed = True
            self._runtime.call_later(IDLE, self._runtime.submit, self._close_unused)

    def _close_unused(self) -> None:
        self._close_unused_since(time.monotonic() - IDLE)
        self._timed = any(self._free.values())
        if self._timed:
            self._runtime.call_later(IDLE, self._runtime.submit, self._close_unused)

    def _close_unused_since(self, then: float) -> None:
        for alias, free in self._free.items():
            unused = [connection for since, connection in free if since <= then]
            # Before the first is closed: that may wait.
            self._free[alias] = free[len(unused) :]
            for connection in unused:
                _adopt(connection)
                _close(connection)


def _is_wanted() -> bool | None:
    """Whether the project keeps connections; None when it has not begun to use databases."""
    if "django.db" not in sys.modules:
        return None
    from django.conf import settings
    from django.db import connections

    if not settings.configured:
        return None
    try:
        databases = connections.settings.values()
    except Exception:
        # The project's mistake, which Django tells it better.
        return None
    if all(database["CONN_MAX_AGE"] == 0 for database in databases):
        return False
    store = vars(connections)
    if "create_connection" not in store:
        store["create_connection"] = _taking(connections.create_connection)
    return True


def _taking(create: Callable[[str], Any]) -> Callable[[str], Any]:
    """*create*, for whoever serves no request, and when no connection is there."""

    def create_connection(alias: str) -> Any:
        kept = _serving.get(_thread.get_ident())
        found = None if kept is None else kept.take(alias)
        return create(alias) if found is None else found

    return create_connection


def _is_reusable(connection: BaseDatabaseWrapper) -> bool:
    """Whether another request may have *connection*, which Django has looked at."""
    if connection.settings_dict["CONN_MAX_AGE"] == 0 or connection.in_atomic_block:
        return False
    # A query may have been given up, by a gevent.Timeout say: psycopg knows without asking.
    info = getattr(connection.connection, "info", None)
    return getattr(info, "transaction_status", 0) == 0


def _adopt(connection: BaseDatabaseWrapper) -> None:
    """Make *connection* the running greenlet's, so that no other one may use it."""
    vars(connection)["_thread_ident"] = _thread.get_ident()


def _close(connection: BaseDatabaseWrapper) -> None:
    try:
        connection.close()
    except Exception:
        _logger.exception("cannot close a database connection: %r", connection.alias)
