"""What a load does, as bytes that were made before the clock runs.

Law: *an engine knows no protocol beyond this*. It opens connections, keeps ``in_flight``
messages of each on their way, compares what comes with what must come, counts and notes
times. There are two engines: ``native`` (C) and ``plain`` (Python, where there is no compiler).
"""

from __future__ import annotations

import dataclasses
from typing import Protocol


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One turn of a load.

    :param host: IPv4 address of the server
    :param port: its port
    :param connections: how many are opened
    :param in_flight: messages of one connection that are on their way at a time
    :param at_once: handshakes that are under way at a time
    :param ring: messages that are sent one after the other, all of one size
    :param answer: what one message is answered with
    :param mask: of *answer*'s bits that are compared, as long as it; empty: all of them
    :param framed: answers are not known: their frames are counted by their headers
    :param fan_out: the first connection sends, all get each message, and the next one is sent
        when the last connection has it
    :param opening: sent first on each connection; empty: nothing, it is ready at once
    :param opened: how the head of the answer to *opening* must begin
    :param greeting: what must follow that head before a connection counts as open
    :param people: who open connections, in turn; 0: anybody
    :param number_at: where in *opening* the number of who opens it is, in five digits
    :param goodbye: sent last; empty: the sending side is shut
    """

    host: str
    port: int
    connections: int
    in_flight: int
    at_once: int
    ring: tuple[bytes, ...]
    answer: bytes
    mask: bytes = b""
    framed: bool = False
    fan_out: bool = False
    opening: bytes = b""
    opened: bytes = b""
    greeting: bytes = b""
    goodbye: bytes = b""
    people: int = 0
    number_at: int = 0

    def opening_of(self, index: int) -> bytes:
        """What connection number *index* sends first."""
        if not self.people:
            return self.opening
        number, at = b"%05d" % (index % self.people), self.number_at
        return self.opening[:at] + number + self.opening[at + len(number) :]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """Seconds until an answer was there.

    :param p50: half of them were back by then
    :param p99: 99 of 100
    :param slowest: all, also those that never came back
    """

    p50: float
    p99: float
    slowest: float


class Engine(Protocol):
    """Runs a plan. Each method raises ``BenchmarkError`` when the server does not keep to it."""

    name: str

    def open(self) -> None:
        """Open all connections; the latencies are the handshakes'."""

    def start(self) -> None:
        """Send the first messages of every connection."""

    def drive(self, seconds: float) -> float:
        """Keep messages going for *seconds*; how long it really was."""

    def clear(self) -> None:
        """Begin to count anew."""

    def counts(self) -> list[int]:
        """Answers since :meth:`clear`, by connection."""

    def latencies(self) -> Latencies:
        """How long they took."""

    def close(self) -> None:
        """Say goodbye, so that the server's next turn begins without this one's sockets."""

    def discard(self) -> None:
        """Close what is still open without a word; harmless after :meth:`close`, and twice."""
