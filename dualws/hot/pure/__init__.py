"""What is done for every message, in Python.

Law: every line counts here. What is not a plain message of one frame goes the way of the classes
that are made of these, by their methods: :class:`dualws.connection.Connection`,
:class:`dualws.transport.SocketTransport`, :class:`dualws.protocol.stream.Stream`,
:class:`dualws.protocol.deflate.Deflate`.
"""

from __future__ import annotations

from collections.abc import Callable

from dualws.contract import Lock
from dualws.hot.pure.connection import Connection, fan_out
from dualws.hot.pure.deflate import Deflate
from dualws.hot.pure.stream import Stream
from dualws.hot.pure.switcher import Switcher
from dualws.hot.pure.transport import Transport
from dualws.hot.pure.turns import others_turn

#: A native mutex with an interface for C; there is none here, and the standard library's serves.
Mutex: Callable[[], Lock] | None = None


def keep_stacks() -> None:
    """Keep what a few short-lived greenlets needed for their frames; only C can."""


__all__ = [
    "Connection",
    "Deflate",
    "Mutex",
    "Stream",
    "Switcher",
    "Transport",
    "fan_out",
    "keep_stacks",
    "others_turn",
]
