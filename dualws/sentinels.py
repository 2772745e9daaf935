"""What a connection says to who takes a message and gets none.

Law: compared by identity; no message can be taken for one of them.
"""

from __future__ import annotations

from typing import Final


class Sentinel:
    """What :meth:`Connection.take` says when there is no message."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


#: There is no message yet; the callback that was given will be called.
WAIT: Final = Sentinel("WAIT")
#: There will be no message any more.
ENDED: Final = Sentinel("ENDED")
