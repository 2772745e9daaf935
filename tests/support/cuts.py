"""What a handler is given of any bytes, however they are cut, beside what a model makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from hypothesis import strategies as st

from dualws.connection import Connection
from dualws.sentinels import ENDED, WAIT
from support.noted import Case


def received(connection: Connection) -> list[object]:
    """What there is to take; "end" where it ends."""
    found: list[object] = []
    while (message := connection.take(None)) is not WAIT:
        if message is ENDED:
            return [*found, "end"]
        found.append(message)
    return found


def check_cuts(
    new_case: Callable[[], Case], data: bytes, wanted: Sequence[object], source: st.DataObject
) -> None:
    """Whole, byte by byte, and cut anyhow, *data* is *wanted*.

    :param wanted: the model's events
    :param source: draws where to cut
    """
    _check(new_case(), data, [], wanted)
    _check(new_case(), data, range(1, len(data)), wanted)
    for _ in range(3):
        cuts = source.draw(st.lists(st.integers(0, len(data)), max_size=4))
        _check(new_case(), data, sorted(cuts), wanted)


def _check(case: Case, data: bytes, cuts: Iterable[int], wanted: Sequence[object]) -> None:
    found: list[object] = []
    start = 0
    for cut in [*cuts, len(data)]:
        case.connection.data_received(data[start:cut])
        found += received(case.connection)
        start = cut
    messages = [event for event in wanted if isinstance(event, str | bytes)]
    assert [item for item in found if item != "end"] == messages
    last = wanted[-1] if wanted else None
    if isinstance(last, tuple) and last[0] in ("close", "fail"):
        assert case.connection.close_code in ([last[1]] if last[0] == "close" else last[1])
    else:
        assert case.connection.close_code is None
    assert case.connection.bytes_in == len(data)
    assert case.connection.messages_in == len(messages)
    assert case.connection._inbox_bytes == 0
