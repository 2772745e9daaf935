"""When code that sends much must let others have a turn.

Law: *whoever sends without end to a peer that reads all of it starves nobody*. Such code waits for
nothing, and a greenlet or a coroutine that does not wait keeps its whole process to itself. To
know that costs a message a small sum. (In C a thread that waits begins to count anew; here it is
all that has been sent, by whomever.)
"""

from __future__ import annotations

#: Messages that are sent before others have a turn.
SENDS = 128
#: Bytes that count as one more message where they have to be compressed, or are a fragment.
LONG = 512

_sent = 0


def is_due() -> bool:
    """Whether others are to have a turn before this message, as :func:`others_turn` will say."""
    global _sent
    if _sent + 1 >= SENDS:
        return True
    _sent += 1
    return False


def others_turn(size: int = 0) -> bool:
    """Whether others are to have a turn before this message.

    :param size: bytes that must be worked on for it
    """
    global _sent
    _sent += 1 + size // LONG
    if _sent < SENDS:
        return False
    _sent = 0
    return True
