"""The measurement of large messages: who is compared with whom, and what it is worth."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from rich.console import Console

from support.frames import CLOSE, PING, TEXT, build


def turns(large: Any, **rounds: list[tuple[float, ...]]) -> dict[str, Any]:
    """Turns of the two measures, and of others: processor time, and the time of each case."""
    names = {"own": large.OWN, "least": large.LEAST}
    return {
        names.get(name, name): [
            large.Turn(processor, {str(n): seconds for n, seconds in enumerate(cases)})
            for processor, *cases in one
        ]
        for name, one in rounds.items()
    }


def test_processor_time_is_the_median_and_elapsed_time_the_quickest_of_each_case(
    large: Any,
) -> None:
    measured = turns(
        large,
        own=[(3.0, 4.0, 6.0), (4.0, 5.0, 5.0), (30.0, 40.0, 50.0)],
        least=[(1.0, 3.0, 9.0), (1.0, 9.0, 4.0), (1.0, 9.0, 9.0)],
        mine=[(1.2, 3.25, 9.0), (1.2, 9.0, 4.25), (9.0, 9.0, 9.0)],
    )
    one = large.figures("mine", measured)
    assert one.processor == 1.2
    assert one.processor_ratio == pytest.approx(0.3)  # of 0.4, 0.3, 0.3
    assert (one.elapsed, one.beyond, one.beyond_ratio) == (7.5, 0.5, 0.25)
    own = large.figures(large.OWN, measured)
    assert (own.elapsed, own.beyond) == (9, 2)
    assert (own.processor_ratio, own.beyond_ratio) == (1, 1)


@pytest.mark.parametrize(
    ("mine", "good"),
    [
        ((1.5, 7.0), True),
        ((1.51, 7.0), False),  # of 3 seconds
        ((1.5, 7.01), False),  # of 2 seconds beyond the suite's own
        ((0.1, 5.9), True),  # quicker than the least
    ],
)
def test_half_of_either_is_the_most(large: Any, mine: tuple[float, ...], good: bool) -> None:
    measured = turns(large, own=[(3.0, 8.0)], least=[(1.0, 6.0)], mine=[mine])
    assert {name: one.good for name, one in large.judged(measured).items()} == {"mine": good}


def test_what_compares_with_nothing_proves_nothing(large: Any) -> None:
    measured = turns(large, own=[(0.0, 6.0)], least=[(1.0, 6.0)], mine=[(0.0, 6.0)])
    assert not large.figures("mine", measured).good


def test_the_table_has_everybody(large: Any) -> None:
    measured = turns(large, own=[(3.0, 8.0)], least=[(1.0, 6.0)], mine=[(1.2, 6.5)])
    console = Console(file=io.StringIO(), width=100)
    console.print(large.table(measured))
    assert isinstance(console.file, io.StringIO)
    lines = [line.split() for line in console.file.getvalue().splitlines()[1:]]
    assert lines == [
        ["tornado's", "own", "3.00", "s", "1.00", "8.00", "s", "2.00", "s", "1.00"],
        ["least", "1.00", "s", "0.33", "6.00", "s", "0.00", "s", "0.00"],
        ["mine", "1.20", "s", "0.40", "6.50", "s", "0.50", "s", "0.25"],
    ]


# -- the echoes ------------------------------------------------------------------------


def test_the_least_counts_whole_messages_however_their_bytes_come(
    scripts: Callable[[str], ModuleType],
) -> None:
    sizes = [0, 1, 125, 126, 65535, 65536, 300_000]
    stream = b"".join(build(TEXT, bytes(size)) for size in sizes)
    stream += build(TEXT, bytes(70), fin=False) + build(0, b"", fin=False) + build(0, bytes(30))
    stream += build(PING) + build(CLOSE, b"\x03\xe8")
    expected = [(0x80 | TEXT, size) for size in [*sizes, 100]] + [(0x89, 0), (0x88, 2)]
    for most in (1, 7, 4096, len(stream)):
        messages = scripts("autobahn_echoes").Messages()
        cuts = random.Random(most)
        rest, position = b"", 0
        while position < len(stream):
            step = cuts.randint(1, most) if most < len(stream) else most
            data = bytearray(rest + stream[position : position + step])
            position += step
            rest = bytes(data[messages.feed(data, len(data)) :])
        assert (messages.complete, rest) == (expected, b""), most


def test_the_least_answers_as_much_as_was_sent(try_echo: Callable[[str], None]) -> None:
    try_echo("least")
