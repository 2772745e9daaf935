"""Answers to requests that a limit refuses, and the lines of the log about them.

Law: *a refusal says when to come again, and a flood of them does not flood the log*: of each kind
one line in :data:`QUIET` seconds is written, with how many there were since the one before.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from dualws.serving.last_answer import last_answer

logger = logging.getLogger("dualws.limits")

#: Seconds between two lines of one kind.
QUIET = 10.0
#: Seconds after which a refused client may try again.
RETRY_AFTER = 5

_last: dict[str, float] = {}
_unsaid: dict[str, int] = {}


def note(kind: str, message: str, *args: object) -> None:
    """Log a refusal, or count it towards the next line of its *kind*."""
    now = time.monotonic()
    if now - _last.get(kind, -QUIET) < QUIET:
        _unsaid[kind] = _unsaid.get(kind, 0) + 1
        return
    _last[kind] = now
    more = _unsaid.pop(kind, 0)
    if more:
        message += f" (and {more} more since the last such line)"
    logger.warning(message, *args)


def response(status: str, text: str) -> tuple[str, list[tuple[str, str]], bytes]:
    """Status, headers and body of a refusal."""
    body = f"{text}\n".encode()
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Retry-After", str(RETRY_AFTER)),
    ]
    return status, headers, body


def answer(status: str, text: str) -> bytes:
    """A whole response, for a connection that is refused before its request is read."""
    return last_answer(status, text, [("Retry-After", str(RETRY_AFTER))])


#: Connections that may be told at a time that they are too many; others are closed without a word.
MOST_REFUSED = 100
#: Status and text of that answer.
TOO_MANY: Final = "503 Service Unavailable", "too many connections"


def too_many(limit: int) -> bytes:
    """The answer to a connection over ``max_connections``."""
    note("connections", "refusing connections with 503: there are max_connections=%d", limit)
    return answer(*TOO_MANY)
