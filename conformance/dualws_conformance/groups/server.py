"""The server process as a whole, after everything else has run."""

from __future__ import annotations

import re

from dualws_conformance.kit import Kit
from dualws_conformance.model import case, check
from dualws_conformance.promises import END, EXCEPTIONS
from dualws_conformance.timing import PATIENCE, settled

#: Last lines of tracebacks that the kit provokes: its own bugs, and the rules of PEP 3333 that
#: ``project.corners`` breaks.
_EXPECTED = re.compile(
    r"that the kit asked for|the handler's own bug|too late|changed its mind|X-Injected|"
    r"start_response|\b(str|bytes)\b|may not open this websocket"
)


@case("server", EXCEPTIONS, "it prints no traceback that the kit did not provoke", exclusive=True)
def no_tracebacks(kit: Kit) -> None:
    strange = [line for line in kit.server.tracebacks() if not _EXPECTED.search(line)]
    check(not strange, f"the server printed tracebacks that end with: {strange[:5]}")


@case("server", END, "no websocket is live in it once its clients have gone", exclusive=True)
def nothing_left(kit: Kit) -> None:
    settled(lambda: kit.state()["connections"] == 0, 10 * PATIENCE)
    left = kit.state()["connections"]
    check(left == 0, f"{left} websockets are still counted as live")
