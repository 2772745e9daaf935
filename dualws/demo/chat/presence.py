"""Who is in which room, live.

Its law: *a person is in a room while at least one websocket of theirs is*. Two tabs count
twice, so closing one changes nothing, and a reload is a leave and a return.

It lives in the memory of one process, which is all that ``dualws demo`` has.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from dualws import publish
from dualws.demo.chat import events
from dualws.demo.chat.people import Person

#: The topic to which everyone subscribes, whatever room they are in.
EVERYONE = "presence"


class Presence:
    """The people who are here, and the rooms they are in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: Counter[tuple[str, Person]] = Counter()

    @contextmanager
    def enter(self, slug: str, person: Person) -> Iterator[None]:
        """*person* is in the room *slug* until the block ends, however it ends."""
        self._change(slug, person, +1)
        try:
            yield
        finally:
            self._change(slug, person, -1)

    def rooms(self) -> dict[str, list[Person]]:
        """The people in each room that is not empty, by name."""
        with self._lock:
            return self._rooms()

    def _rooms(self) -> dict[str, list[Person]]:
        rooms: dict[str, list[Person]] = {}
        for slug, person in sorted(self._sockets):
            rooms.setdefault(slug, []).append(person)
        return rooms

    def _change(self, slug: str, person: Person, by: int) -> None:
        """Count, and tell everyone. The lock keeps what is published in the order of events."""
        with self._lock:
            self._sockets[slug, person] += by
            self._sockets = +self._sockets  # without those that are down to zero
            publish(EVERYONE, events.presence(self._rooms()))


#: The one of this process.
presence = Presence()
