"""Token buckets: how much a peer may send on the average.

Law: *a bucket is two numbers*, filled by the clock when it is looked at; nothing ticks for it.
"""

from __future__ import annotations


class Bucket:
    """Holds what may be sent at once.

    :param rate: what it is filled with a second, and what it holds at most
    :param now: monotonic time
    """

    __slots__ = ("_at", "level", "rate")

    def __init__(self, rate: float, now: float) -> None:
        self.rate = rate
        #: what is in it; less than 0 is a debt
        self.level = rate
        self._at = now

    def fill(self, now: float) -> bool:
        """Put in what is due; whether it is full."""
        self.level = min(self.rate, self.level + (now - self._at) * self.rate)
        self._at = now
        return self.level >= self.rate

    def take(self, size: float) -> float:
        """Take *size* out, which may leave a debt; seconds until there is none."""
        self.level -= size
        return max(0.0, -self.level / self.rate)
