"""How long the kit waits: one number scales all of it.

``DUALWS_CONFORMANCE_PATIENCE=3`` in the environment suits a machine that is three times slower.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

#: Factor of every time limit.
PATIENCE = float(os.environ.get("DUALWS_CONFORMANCE_PATIENCE", "1"))
#: Seconds after which something that must happen counts as not happening.
TIMEOUT = 10.0 * PATIENCE
#: Seconds of silence that show that nothing happens where nothing may.
QUIET = 0.1 * PATIENCE
#: Seconds that a server may take to come up, or to go.
STARTING = 30.0 * PATIENCE


def settled(condition: Callable[[], bool], seconds: float) -> bool:
    """Ask again and again until *condition* holds, at most *seconds*; whether it does.

    For what the server does by itself and reports to nobody.
    """
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            return False
        time.sleep(0.05)
    return True
