"""How long a client that sends its request slowly is waited for.

Law: *every byte buys the time that it may take at the lowest rate*, and no saving reaches further
than the time without any byte: so one number, the time of the end, is all there is to keep.
"""

from __future__ import annotations

import math


class Deadline:
    """The time at which a body that comes too slowly has had its chance.

    :param grace: seconds without a byte, and before the rate counts; 0 waits for ever
    :param rate: bytes a second; 0 asks for none
    :param now: monotonic time of the beginning
    """

    __slots__ = ("_grace", "_rate", "at")

    def __init__(self, grace: float, rate: float, now: float) -> None:
        self._grace = grace
        self._rate = rate
        #: monotonic time; infinite when there is no end
        self.at = now + grace if grace else math.inf

    def received(self, size: int, now: float) -> None:
        """*size* bytes came."""
        if self._grace:
            latest = now + self._grace
            self.at = min(latest, self.at + size / self._rate) if self._rate else latest
