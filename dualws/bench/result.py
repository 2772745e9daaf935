"""What a run showed: turns as they were measured, and the summary of a server's turns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from statistics import median
from typing import Any

from dualws.bench.contenders import Contender
from dualws.bench.cpu import Used
from dualws.bench.plan import Latencies
from dualws.bench.workloads import Workload

#: Share of a core from which a process counts as busy.
BUSY = 0.9


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One server's turn in one round. Times are in seconds.

    :param messages: messages that came back (requests, handshakes: see ``Workload.unit``)
    :param seconds: length of the turn
    :param used: processor time of the server, the load, and others
    :param worst_share: the worst-served connection's messages, as a share of the mean
    :param latencies: how long messages took
    :param engine: what the load was written in
    :param memory_before: bytes that the server occupied before the turn; idle workloads only
    :param memory_during: bytes with all connections open
    """

    messages: int
    seconds: float
    used: Used
    worst_share: float
    latencies: Latencies
    engine: str
    memory_before: int | None = None
    memory_during: int | None = None

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Turn:
        """The turn whose :func:`dataclasses.asdict` is *fields*."""
        used, latencies = Used(**fields["used"]), Latencies(**fields["latencies"])
        return cls(**{**fields, "used": used, "latencies": latencies})

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    @property
    def cpu_per_message(self) -> float | None:
        """Processor time of the server for one message."""
        if self.used.server is None or not self.messages:
            return None
        return self.used.server / self.messages

    @property
    def load_was_limit(self) -> bool:
        """Whether the load, and not the server, was busy all the time."""
        if self.used.server is None:
            return False
        return self.used.load / self.seconds > BUSY > self.used.server / self.seconds

    @property
    def disturbed(self) -> bool:
        """Whether other processes took more than a tenth of one of the two cores."""
        others = max(self.used.beside_server or 0.0, self.used.beside_load or 0.0)
        return others / self.seconds > 1 - BUSY


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One server's turns.

    :param contender: the server
    :param versions: distributions it ran on, with their versions
    :param turns: in the order of the rounds
    """

    contender: Contender
    versions: dict[str, str]
    turns: list[Turn]

    @property
    def rate(self) -> float:
        """Median of messages a second."""
        return median(turn.rate for turn in self.turns)

    @property
    def spread(self) -> float:
        """Largest distance of a turn from the median, as a share of it."""
        rate = self.rate
        return max(abs(turn.rate - rate) for turn in self.turns) / rate if rate else 0.0

    def median(self, value: Callable[[Turn], float | None]) -> float | None:
        """Median of what *value* says of each turn; None where it says nothing."""
        values = [number for turn in self.turns if (number := value(turn)) is not None]
        return median(values) if values else None

    @property
    def memory(self) -> float | None:
        """Bytes of the server for one silent connection; None for other workloads.

        Beside what the warmed-up server occupied before its first connections: memory that it
        keeps from one round for the next counts in each.
        """
        base = self.turns[0].memory_before
        return self.median(
            lambda turn: (
                None
                if base is None or turn.memory_during is None
                else (turn.memory_during - base) / turn.messages
            )
        )

    def times(self, other: Entry) -> float:
        """How many times as fast as *other*: the median of the rounds' ratios."""
        pairs = zip(self.turns, other.turns, strict=True)
        return median(mine.rate / its.rate if its.rate else 0.0 for mine, its in pairs)

    def frugal(self, other: Entry) -> float | None:
        """How many times as many messages as *other* for the same processor time.

        What :meth:`times` would say on a machine without other work.
        """
        pairs = zip(self.turns, other.turns, strict=True)
        ratios = [
            its.cpu_per_message / mine.cpu_per_message
            for mine, its in pairs
            if mine.cpu_per_message and its.cpu_per_message
        ]
        return median(ratios) if ratios else None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything that one command measured.

    :param workload: what was sent
    :param entries: by server
    :param failures: servers that could not take part, and why
    :param python: version of the interpreter
    :param machine: processor and system
    :param pinned: whether server and load had a core each
    """

    workload: Workload
    entries: list[Entry]
    failures: dict[str, str]
    python: str
    machine: str
    pinned: bool
