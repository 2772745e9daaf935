"""What is done for every message: compiled where that was possible, in Python otherwise.

Law: *both are one*. :mod:`dualws.hot.pure` says what is done; the compiled module does the same
with the same names, is tested by the same tests, and leaves whatever is not a plain message to the
same Python above it. ``DUALWS_PURE_PYTHON=1`` in the environment chooses Python.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dualws.hot.pure import (
        Connection,
        Deflate,
        Mutex,
        Stream,
        Switcher,
        Transport,
        fan_out,
        keep_stacks,
        others_turn,
    )

    COMPILED: bool
else:
    try:
        if os.environ.get("DUALWS_PURE_PYTHON", "0") not in ("", "0"):
            raise ImportError("DUALWS_PURE_PYTHON is set")
        from dualws.hot import _compiled as _core
    except ImportError:
        from dualws.hot import pure as _core

    COMPILED = _core.__name__ == "dualws.hot._compiled"
    Connection = _core.Connection
    Deflate = _core.Deflate
    Mutex = _core.Mutex
    Stream = _core.Stream
    Switcher = _core.Switcher
    Transport = _core.Transport
    fan_out = _core.fan_out
    keep_stacks = _core.keep_stacks
    others_turn = _core.others_turn

__all__ = [
    "COMPILED",
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
