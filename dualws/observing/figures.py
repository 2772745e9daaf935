"""Figures as numbers: counted by one server, added up over several.

Law: *what has been counted never gets less*, as Prometheus takes every step down for a new
beginning. So an ended websocket leaves the live ones and enters the sums in one step.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_left
from collections.abc import Iterable
from typing import Any

from dualws.contract import Lock
from dualws.observing.catalog import BY_NAME

#: Joins a name and the values of its labels to one key, also in JSON.
_JOINT = "\x1f"


def key(name: str, *labels: str) -> str:
    """The key of a figure's value."""
    return _JOINT.join((name, *labels))


def split(key: str) -> tuple[str, tuple[str, ...]]:
    """Name and labels of :func:`key`."""
    name, *labels = key.split(_JOINT)
    return name, tuple(labels)


@dataclasses.dataclass(slots=True)
class Figures:
    """Numbers of one moment.

    :param counters: what only grows
    :param gauges: what there is now
    :param histograms: how many in each bucket, the one without bound last, then their sum
    """

    counters: dict[str, float] = dataclasses.field(default_factory=dict)
    gauges: dict[str, float] = dataclasses.field(default_factory=dict)
    histograms: dict[str, list[float]] = dataclasses.field(default_factory=dict)

    def add(self, other: Figures, *, gauges: bool = True) -> None:
        """Add *other*'s.

        :param gauges: also what there is now; not of a process that has ended
        """
        for name, value in other.counters.items():
            self.counters[name] = self.counters.get(name, 0) + value
        for name, values in other.histograms.items():
            mine = self.histograms.get(name) or [0.0] * len(values)
            self.histograms[name] = [a + b for a, b in zip(mine, values, strict=True)]
        if gauges:
            for name, value in other.gauges.items():
                self.gauges[name] = self.gauges.get(name, 0) + value

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)


class Counters:
    """Counts what happens in one server, from any thread.

    :param lock: a native mutex
    """

    def __init__(self, lock: Lock) -> None:
        self.lock = lock
        self._figures = Figures()

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        """Add to a counter; with the lock held."""
        counters = self._figures.counters
        place = key(name, *labels)
        counters[place] = counters.get(place, 0) + by

    def observe(self, name: str, value: float) -> None:
        """Put a value into a histogram; with the lock held."""
        buckets = BY_NAME[name].buckets
        values = self._figures.histograms.get(name)
        if values is None:
            values = self._figures.histograms[name] = [0.0] * (len(buckets) + 2)
        values[bisect_left(buckets, value)] += 1
        values[-1] += value

    def copy(self) -> Figures:
        """All of it now; with the lock held."""
        mine = self._figures
        return Figures(
            dict(mine.counters),
            {},
            {name: list(values) for name, values in mine.histograms.items()},
        )


def added(all: Iterable[Figures]) -> Figures:
    """The sum of what several live processes have."""
    total = Figures()
    for figures in all:
        total.add(figures)
    return total
