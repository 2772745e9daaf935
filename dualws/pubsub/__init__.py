"""Publish to topics, subscribe websockets to them.

Law: a message is framed, and compressed, once and handed to every subscriber without
waiting for any of them; a subscriber that reads too slowly is closed (1008) instead of
slowing the others.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from dualws import hot
from dualws.contract import Lock
from dualws.protocol.outgoing import Broadcast

if TYPE_CHECKING:
    from dualws.connection import Connection

_topics: dict[str, set[Connection]] = {}
_lock: Lock = threading.Lock()


def use_lock(lock: Lock) -> None:
    """Guard the topics with a native mutex, which the loop's thread may take as well.

    Called before there are websockets: a patched ``threading.Lock`` is none.
    """
    global _lock
    _lock = lock


def publish(topic: str, data: str | bytes) -> int:
    """Send *data* to every websocket of this process that is subscribed to *topic*.

    Never waits; may be called from views, handlers, signals, any thread or greenlet.

    :param topic: any text
    :param data: ``str`` goes as text, bytes as binary
    :return: how many websockets it was sent to
    :raises TypeError: *data* is neither
    """
    # tuple() of a set is one step of the interpreter: no lock is needed to read.
    return hot.fan_out(tuple(_topics.get(topic, ())), Broadcast(data))


def subscribe(connection: Connection, topic: str) -> None:
    """Send *connection* what is published to *topic*."""
    with _lock:
        _topics.setdefault(topic, set()).add(connection)
        if connection.topics is None:
            connection.topics = set()
        connection.topics.add(topic)
    if connection.closed:  # it may have been lost meanwhile, and would be kept for ever
        unsubscribe(connection, topic)


def unsubscribe(connection: Connection, topic: str) -> None:
    """Undo :func:`subscribe`; does nothing when it is not subscribed."""
    with _lock:
        subscribers = _topics.get(topic)
        if subscribers is not None:
            subscribers.discard(connection)
            if not subscribers:
                del _topics[topic]
        if connection.topics is not None:
            connection.topics.discard(topic)


def unsubscribe_all(connection: Connection) -> None:
    """The connection is lost: drop all its subscriptions."""
    for topic in tuple(connection.topics or ()):
        unsubscribe(connection, topic)
