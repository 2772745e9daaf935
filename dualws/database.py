"""Database connections of websocket handlers.

Law: a parked websocket holds no connection. Django keeps one for each thread (or greenlet)
and gives it back when a request ends; a handler outlives its request, so what it holds
is given back a moment after it begins to wait for the next message, and at its end.
Never inside ``atomic()``: a transaction is the handler's own business. What ``CONN_MAX_AGE``
keeps for a thread that goes on to serve requests is the requests', not the handler's.

That moment spares a handler with much to do a new connection for each message. Only
:data:`LINGERERS` handlers of a process have it at a time, so that a thousand sockets that
query now and then take no more connections than those that query right now; and nobody has
it whose connections come from a pool, which hands out another one at once.

Imports Django only when Django's database layer is in use.
"""

from __future__ import annotations

import _thread
import contextlib
import itertools
import logging
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dualws.connection import ENDED, WAIT

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from dualws.connection import Connection

logger = logging.getLogger("dualws.handler")

#: Seconds that a waiting handler keeps its connections: messages that come in quick
#: succession need not connect again for each.
GRACE = 0.1
#: Waiting handlers of this process that may keep their connections for so long at a time.
LINGERERS = 4

#: Changes with every database connection that is made in this process. Who has seen it
#: unchanged since it looked has made none.
made = 0
_numbers = itertools.count(1)
_counting = False
_store: Any = None
_lingering: set[object] = set()
#: Threads that serve requests, while the beginning of a handler runs in them.
_of_requests: set[int] = set()
#: How often each connection is lent by the code of a test to handlers (``dualws.testing``).
lent: dict[object, int] = {}


def count_connections() -> None:
    """Keep :data:`made` up to date from now on, if this process uses Django's databases."""
    global _counting
    if _counting or "django.db" not in sys.modules:
        return
    from django.db.backends.signals import connection_created

    connection_created.connect(_made, dispatch_uid="dualws.database")
    _counting = True


def _made(**_: Any) -> None:
    global made
    # Two threads may store in either order; no number is ever stored twice.
    made = next(_numbers)


def open_connections() -> list[BaseDatabaseWrapper]:
    """The database connections that this thread or greenlet holds."""
    store = _store or _find_store()
    if store is None:
        return []
    return [c for c in store.all(initialized_only=True) if c.connection is not None]


def _find_store() -> Any:
    """Django's ``connections``; None in a project that does not use them."""
    global _store
    if "django.db" not in sys.modules:
        return None
    from django.conf import settings
    from django.db import connections

    if settings.configured:  # else imported by somebody, in a project that is not Django's
        _store = connections
    return _store


def release_connections() -> None:
    """Close this thread's or greenlet's database connections (or return them to the pool).

    For the end of a handler, or of its turn: a transaction that it left open is rolled back.
    Only a ``TestCase``'s own transaction, which the test shares with the handler, stays.
    """
    kept = _thread.get_ident() in _of_requests
    for connection in open_connections():
        try:
            if not connection.in_atomic_block:
                if kept:
                    connection.close_if_unusable_or_obsolete()
                else:
                    connection.close()
            elif not _belongs_to_a_test(connection):
                _drop(connection)
        except Exception:
            # The others are to be given back nevertheless.
            logger.exception("cannot close the database connection %r", connection.alias)


@contextlib.contextmanager
def of_requests() -> Iterator[None]:
    """Until the block ends :func:`release_connections` does what Django does after a request.

    For a handler that begins in the thread of its request and does not wait there.
    """
    ident = _thread.get_ident()
    _of_requests.add(ident)
    try:
        yield
    finally:
        _of_requests.discard(ident)


def _belongs_to_a_test(connection: BaseDatabaseWrapper) -> bool:
    if connection in lent:
        return True
    blocks: list[object] = getattr(connection, "atomic_blocks", [])
    return any(getattr(block, "_from_testcase", False) for block in blocks)


def _drop(connection: BaseDatabaseWrapper) -> None:
    """Close a connection inside a transaction that nobody will end any more."""
    from django.db import connections

    logger.error(
        "a websocket handler ended inside atomic() on the database %r: it is rolled back",
        connection.alias,
    )
    # The thread serves others next: to them the wrapper would still be in the transaction.
    del connections[connection.alias]
    connection.close()


# -- waiting -----------------------------------------------------------------------


def may_linger(who: object, held: list[BaseDatabaseWrapper]) -> bool:
    """Whether *who* may keep the connections *held* for :data:`GRACE`; then :func:`linger_no_more`.

    :param who: any hashable object
    """
    if len(_lingering) >= LINGERERS or all(_is_pooled(connection) for connection in held):
        return False
    _lingering.add(who)
    return True


def linger_no_more(who: object) -> None:
    """The end of what :func:`may_linger` allowed."""
    _lingering.discard(who)


def _is_pooled(connection: BaseDatabaseWrapper) -> bool:
    return bool(connection.settings_dict.get("OPTIONS", {}).get("pool"))


class Parking:
    """Waits for messages of one websocket, in code that blocks, and gives connections back.

    :param connection: the websocket's connection
    """

    __slots__ = ("_connection", "_since", "clean")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        #: value of :data:`made` when this code was last known to hold nothing
        self.clean = -1
        #: when it began to wait, while it holds something
        self._since: float | None = None

    def receive(self, timeout: float | None) -> str | bytes | None:
        """:meth:`Connection.receive`, and between the messages hold no connection.

        :raises TimeoutError: nothing came within *timeout* seconds
        """
        connection = self._connection
        message = connection.take(None)
        if message is not WAIT:
            self._since = None
            return None if message is ENDED else message  # type: ignore[return-value]  # no pong
        now = made
        held = open_connections()
        if not held:
            self.clean = now
        elif not any(c.in_atomic_block for c in held):
            return self._receive_holding(held, timeout)
        return connection.receive(timeout)

    def _receive_holding(
        self, held: list[BaseDatabaseWrapper], timeout: float | None
    ) -> str | bytes | None:
        begin = time.monotonic()
        if self._since is None:
            self._since = begin
        # A handler that polls with a short timeout has waited since its first poll.
        grace = self._since + GRACE - begin
        if grace > 0 and may_linger(self, held):
            try:
                message = self._connection.receive(
                    grace if timeout is None else min(grace, timeout)
                )
                self._since = None
                return message
            except TimeoutError:
                if timeout is not None and timeout <= grace:
                    raise
            finally:
                linger_no_more(self)
        self._since = None
        release_connections()
        if timeout is None:
            return self._connection.receive(None)
        try:
            return self._connection.receive(max(0.0, begin + timeout - time.monotonic()))
        except TimeoutError:
            raise TimeoutError(f"no message within {timeout} s") from None
