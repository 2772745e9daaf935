"""When code that sends much must let others have a turn.

Law: *whoever sends without end to a peer that reads all of it starves nobody*. Such code waits for
nothing, and a greenlet or a coroutine that does not wait keeps its whole process to itself. To
know that costs a message one step of an iterator.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

#: Messages that are sent before others have a turn, whoever sends them and to whomever.
SENDS = 128
#: As a power of two, the bytes that count as a message where they may have to be compressed.
_LONG = 9


def turns() -> Iterator[bool]:
    """For one message after the other, whether others are to have a turn before it."""
    return itertools.cycle((*[False] * (SENDS - 1), True))


def is_long(turns: Iterator[bool], size: int) -> bool:
    """Whether others are to have a turn because of *size* bytes.

    :param turns: takes them for messages
    """
    return any(itertools.islice(turns, size >> _LONG))
