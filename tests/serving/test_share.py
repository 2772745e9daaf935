"""The board on which workers see how many connections the others have."""

from __future__ import annotations

import pytest

from dualws.serving import share
from dualws.serving.share import Board, Share


@pytest.fixture
def two() -> tuple[Share, Share]:
    """Two workers on one board."""
    board = Board()
    first, second = board.share(set()), board.share({0})
    assert first is not None
    assert second is not None
    assert (first.slot, second.slot) == (0, 1)
    return first, second


def test_who_is_alone_takes_everything(two: tuple[Share, Share]) -> None:
    first, _ = two
    assert all(first.may_accept(count) for count in range(1000))


def test_who_is_ahead_leaves_the_next_one_to_the_others_once(two: tuple[Share, Share]) -> None:
    first, second = two
    second.write(10)
    assert first.may_accept(12)
    assert not first.may_accept(13)
    # Nobody else came for it.
    assert first.may_accept(13)
    assert not first.may_accept(14)
    second.write(14)
    assert first.may_accept(15)


def test_with_many_connections_the_lead_may_be_a_share(two: tuple[Share, Share]) -> None:
    first, second = two
    second.write(1000)
    assert first.may_accept(1050)
    assert not first.may_accept(1051)


def test_old_numbers_do_not_count(
    two: tuple[Share, Share], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two
    second.write(0)
    assert not first.may_accept(50)
    now = share.time.monotonic() + 10
    monkeypatch.setattr(share.time, "monotonic", lambda: now)
    assert first.may_accept(50)
    assert first.may_accept(51)


def test_who_leaves_does_not_count(two: tuple[Share, Share]) -> None:
    first, second = two
    second.write(0)
    second.leave()
    assert second.leaving
    assert not first.leaving
    assert first.may_accept(50)
    assert first.may_accept(51)
    second.clear()
    assert not second.leaving


def test_a_full_board_has_no_place() -> None:
    board = Board()
    assert board.share(set(range(127))) is not None
    assert board.share(set(range(128))) is None
