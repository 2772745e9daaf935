"""What fan-out needs and bare servers lack: a set of members."""

from __future__ import annotations

from typing import Any

#: Everybody who is connected to /fan-out/.
members: set[Any] = set()
#: Tells a client that it is one of them.
READY = "ready"
