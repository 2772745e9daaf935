"""The server process as a whole, after everything else has run."""

from __future__ import annotations

import re

from dualws_conformance.kit import Kit
from dualws_conformance.model import case, check

#: Last lines of tracebacks that the kit provokes.
_EXPECTED = re.compile(
    r"that the kit asked for|the handler's own bug|changed its mind|too late|"
    r"start_response|body|bytes|header|HTTP|str|may not open this websocket|origin|Refused"
)


@case("server", "dualws", "it prints no traceback that the kit did not provoke", exclusive=True)
def no_tracebacks(kit: Kit) -> None:
    strange = [line for line in kit.server.tracebacks() if not _EXPECTED.search(line)]
    check(not strange, f"the server printed tracebacks that end with: {strange[:5]}")


@case("server", "dualws", "nothing is under way in it at the end", exclusive=True)
def nothing_left(kit: Kit) -> None:
    held = kit.state()
    check(held["connections"] == 0, f"{held['connections']} websockets are counted as live")
