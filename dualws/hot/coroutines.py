"""The part of the hot path that needs asyncio, which not every process does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualws import hot

if TYPE_CHECKING or not hot.COMPILED:
    from dualws.hot.pure.receiver import Messages
else:
    from dualws.hot._compiled import Messages

__all__ = ["Messages"]
