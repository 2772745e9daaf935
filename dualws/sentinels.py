"""What a connection says to who takes a message and gets none.

Law: compared by identity; no message can be taken for one of them.
"""

from __future__ import annotations

import enum
from typing import Final


class Sentinel(enum.Enum):
    """What :meth:`Connection.take` says when there is no message."""

    WAIT = enum.auto()
    ENDED = enum.auto()

    def __repr__(self) -> str:
        return self.name


#: There is no message yet; the callback that was given will be called.
WAIT: Final = Sentinel.WAIT
#: There will be no message any more.
ENDED: Final = Sentinel.ENDED
