"""The test's database connections, lent to the threads of its websockets.

Law: a handler sees what its test sees. A ``TestCase`` keeps what it writes in a transaction that
no other connection can look into, and a SQLite database in memory belongs to its connection:
there the threads get the very connection of the test, as ``LiveServerTestCase`` does it. Everywhere
else they have connections of their own, as on a server.

A lent connection cannot be closed by those who borrowed it. It has one state for all who use
it: the client waits for handlers before the test goes on, so that they take turns.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import connections

from dualws.database import lent, release_connections

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

#: Guards ``dualws.database.lent``.
_lock = threading.Lock()


def must_be_shared(connection: BaseDatabaseWrapper) -> bool:
    """Whether other connections would see something else than this one.

    Connections that a test class has no leave to use are shared too, so that a handler meets
    Django's refusal and not a database.
    """
    if connection.in_atomic_block or hasattr(connection.connect, "wrapped"):
        return True
    return is_in_memory(connection)


def is_in_memory(connection: BaseDatabaseWrapper) -> bool:
    """Whether it is a SQLite database that exists in its connection alone."""
    found: Callable[[], bool] | None = getattr(connection, "is_in_memory_db", None)
    return connection.vendor == "sqlite" and found is not None and found()


class Loan:
    """Connections of the thread that makes it, lent until :meth:`end`.

    :param choose: which of them
    """

    def __init__(self, choose: Callable[[BaseDatabaseWrapper], bool] = must_be_shared) -> None:
        self.connections = {c.alias: c for c in connections.all() if choose(c)}
        self._ended = False
        with _lock:
            for connection in self.connections.values():
                connection.inc_thread_sharing()
                if connection not in lent:
                    owner = threading.get_ident()
                    # On the object: Django closes connections by this method in many places.
                    vars(connection)["close"] = partial(_close, connection, owner)
                lent[connection] = lent.get(connection, 0) + 1

    def end(self) -> None:
        """Nobody uses them any more but their owner."""
        with _lock:
            if self._ended:
                return
            self._ended = True
            for connection in self.connections.values():
                connection.dec_thread_sharing()
                lent[connection] -= 1
                if not lent[connection]:
                    del lent[connection]
                    del vars(connection)["close"]

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Use them in this thread; it closes its own afterwards."""
        store: Any = connections
        for alias, connection in self.connections.items():
            store[alias] = connection
        try:
            yield
        finally:
            for alias in self.connections:
                with suppress(AttributeError):  # the handler may have dropped it
                    del store[alias]
            release_connections()


def _close(connection: BaseDatabaseWrapper, owner: int) -> None:
    if threading.get_ident() == owner:
        type(connection).close(connection)
