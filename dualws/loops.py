"""Running an asyncio loop that belongs to everybody.

Law: *no task ends the loop of the others*. asyncio lets ``SystemExit`` out of the loop, also
when a task raises it that a handler has started and nobody waits for; here it ends its task.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

log = logging.getLogger("dualws.server")


def run_for_ever(loop: asyncio.AbstractEventLoop) -> None:
    """Run *loop* in this thread until it is stopped."""
    while True:
        try:
            loop.run_forever()
        except SystemExit:
            _log()
        else:
            return


def run_to_end(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    """Run *loop* in this thread until *coroutine* has ended; what that returns.

    :raises BaseException: what *coroutine* raises
    """
    task = loop.create_task(coroutine)
    while True:
        try:
            return loop.run_until_complete(task)
        except SystemExit:
            if task.done():
                raise
            _log()


def call_from_outside(
    loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: object
) -> None:
    """Have *loop* call *function* soon; from another thread. Not at all when it has ended."""
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        if not loop.is_closed():
            raise


def raise_later(error: BaseException) -> NoReturn:
    """Raise *error*: what a loop is to call soon."""
    raise error


def _log() -> None:
    log.exception("a task ended with sys.exit(), which ends nothing but the task")
