"""What a run showed: turns as they were measured, and the summary of a server's turns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from statistics import median

from dualws.bench.contenders import Contender
from dualws.bench.workloads import Workload

#: Share of a core from which a process counts as busy.
BUSY = 0.9


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One server's turn in one round. Times are in seconds.

    :param messages: messages that came back
    :param seconds: length of the turn
    :param server_cpu: processor time of the server; None where the system does not tell
    :param load_cpu: processor time of the load
    :param beside_server: what other processes used of the server's core
    :param beside_load: what they used of the load's
    :param worst_share: the worst-served connection's messages, as a share of the mean
    :param p50: median time until a message was back
    :param p99: 99 of 100 were back by then
    :param slowest: longest time, also of messages that never came back
    :param engine: what the load was written in
    """

    messages: int
    seconds: float
    server_cpu: float | None
    load_cpu: float
    beside_server: float | None
    beside_load: float | None
    worst_share: float
    p50: float
    p99: float
    slowest: float
    engine: str

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    @property
    def cpu_per_message(self) -> float | None:
        """Processor time of the server for one message."""
        if self.server_cpu is None or not self.messages:
            return None
        return self.server_cpu / self.messages

    @property
    def load_was_limit(self) -> bool:
        """Whether the load, and not the server, was busy all the time."""
        if self.server_cpu is None:
            return False
        return self.load_cpu / self.seconds > BUSY > self.server_cpu / self.seconds

    @property
    def disturbed(self) -> bool:
        """Whether other processes took more than a tenth of one of the two cores."""
        others = max(self.beside_server or 0.0, self.beside_load or 0.0)
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
    :param python: version of the interpreter
    :param machine: processor and system
    :param pinned: whether server and load had a core each
    """

    workload: Workload
    entries: list[Entry]
    python: str
    machine: str
    pinned: bool
