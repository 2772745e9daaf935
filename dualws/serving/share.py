"""How several processes that accept from the same sockets share the connections evenly.

Law: *who has more than the others leaves the next one to them.* The kernel wakes every process that
watches a listening socket, and whoever is quickest takes all that waits: after a burst one
process may have everything. So each writes how many connections it has on a board
(memory that the processes share), and one that is ahead of the least busy other looks away
for a moment. After that moment it takes one all the same: a connection never waits for a
process that does not come.

The board is made before the processes are forked. A number that is old (its process hangs, or was
killed) does not count.
"""

from __future__ import annotations

import mmap
import time

#: Processes that a board has room for.
_SLOTS = 128
#: When its number was written, the number, and whether it is leaving.
_FIELDS = 3
#: Seconds after which a number is old.
_OLD = 3.0
#: A process may be ahead of the least busy one by this many, or by this share.
_LEAD = 2
_LEAD_SHARE = 1.05
#: Seconds for which a process that is ahead looks away.
PAUSE = 0.02


class Board:
    """The numbers of all processes."""

    def __init__(self) -> None:
        self.cells = memoryview(mmap.mmap(-1, _SLOTS * _FIELDS * 8)).cast("d")

    def share(self, taken: set[int]) -> Share | None:
        """The place of one more process; None when there is no room.

        :param taken: slots of the others that live
        """
        for slot in range(_SLOTS):
            if slot not in taken:
                share = Share(self, slot)
                share.clear()
                return share
        return None


class Share:
    """One process's place on the board.

    :param board: the board
    :param slot: number of its place
    """

    def __init__(self, board: Board, slot: int) -> None:
        self._cells = board.cells
        self._at = slot * _FIELDS
        self.slot = slot
        self._paused = False

    def clear(self) -> None:
        """The process is not there, or not any more."""
        for field in range(_FIELDS):
            self._cells[self._at + field] = 0.0

    def write(self, count: int) -> None:
        """Tell the others how many connections this process has."""
        self._cells[self._at + 1] = count
        self._cells[self._at] = time.monotonic()

    def leave(self) -> None:
        """This process takes no more connections, and another is to take its place."""
        self._cells[self._at + 2] = 1.0

    @property
    def leaving(self) -> bool:
        """Whether it has said so."""
        return self._cells[self._at + 2] != 0.0

    def may_accept(self, count: int) -> bool:
        """Whether this process should take a connection; when not, to be asked after :data:`PAUSE`.

        :param count: how many connections it has
        """
        self.write(count)
        if self._paused:
            self._paused = False
            return True
        least = self._least()
        if least is None or count <= max(least + _LEAD, least * _LEAD_SHARE):
            return True
        self._paused = True
        return False

    def _least(self) -> float | None:
        """How many connections the least busy other process has; None without another."""
        cells = self._cells
        recent = time.monotonic() - _OLD
        return min(
            (
                cells[at + 1]
                for at in range(0, len(cells), _FIELDS)
                if cells[at] > recent and not cells[at + 2] and at != self._at
            ),
            default=None,
        )
