"""What a coroutine awaits for a message, and the future that it waits for meanwhile.

Law: the coroutine goes on inside the very call that brings its message, when the loop itself
makes that call. A ``Future`` would have the loop call it a turn later, which takes as long as
parsing the message and more. Whoever brings the message notices nothing: what the coroutine
raises never comes out there. asyncio takes any object for a future that has
``_asyncio_future_blocking`` and the few methods below.
"""

from __future__ import annotations

import _thread
from asyncio import AbstractEventLoop, CancelledError
from collections.abc import Callable, Generator
from contextvars import Context
from typing import TYPE_CHECKING, Any

from dualws.loops import call_from_outside, raise_later
from dualws.sentinels import ENDED, WAIT, Sentinel

if TYPE_CHECKING:
    from dualws.hot.pure.connection import Connection


class Receiver:
    """The future; used again for each wait. Called, from any thread, it lets the coroutine go on.

    Made in the thread that runs *loop*.

    :param loop: the loop that it is awaited on, by one task at a time
    :param connection: the websocket's
    """

    __slots__ = (
        "_asyncio_future_blocking",
        "_callback",
        "_cancelled",
        "_connection",
        "_context",
        "_loop",
        "_thread",
        "_woken",
        "waits",
    )

    def __init__(self, loop: AbstractEventLoop, connection: Connection) -> None:
        self._loop = loop
        self._connection = connection
        self._thread = _thread.get_ident()
        self._asyncio_future_blocking = False
        self._callback: Callable[[Any], object] | None = None
        self._context: Context | None = None
        self._cancelled: tuple[Any, ...] | None = None
        #: whether a task was given this to wait for, and has not gone on
        self.waits = False
        #: called before there was a callback
        self._woken = False

    def __call__(self) -> None:
        """There may be something to take. Of other threads nothing is heard once the loop has
        ended."""
        if _thread.get_ident() == self._thread:
            self._go_on()
        else:
            call_from_outside(self._loop, self._go_on)

    def _go_on(self) -> None:
        callback, self._callback = self._callback, None
        if callback is None:
            self._woken = True
            return
        context, self._context = self._context, None
        assert context is not None
        try:
            context.run(callback, self)
        except RuntimeError:
            # asyncio, or the context, refuses to enter: what runs now is another task, which
            # closes the websocket, or a callback that was given the task's own context.
            self._loop.call_soon(callback, self, context=context)
        except (SystemExit, KeyboardInterrupt) as error:
            # They end the loop, and leave nothing half done where the message came from.
            self._loop.call_soon(raise_later, error)

    def take(self) -> str | bytes | Sentinel:
        """The next message; WAIT when there is none, and this is to be waited for.

        :raises StopAsyncIteration: the websocket has ended
        :raises RuntimeError: another task waits for it
        """
        taken = self._callback is not None or self._cancelled is not None
        if not taken:
            self.waits = self._woken = False
        message = self._connection.take(self)
        if message is ENDED:
            raise StopAsyncIteration
        if message is WAIT:
            if taken:
                raise RuntimeError(
                    "receive() is called before another task has gone on that waited in receive() "
                    "on the same websocket: let one task receive, and hand the messages on"
                )
            self._asyncio_future_blocking = self.waits = True
        return message  # type: ignore[return-value]  # no pong: nobody asked for those

    def break_off(self) -> None:
        """The wait timed out or was cancelled: a message that comes now stays in the inbox."""
        if not self.waits:
            return  # it is another task that waits
        self.waits = False
        self._callback = self._context = self._cancelled = None
        self._connection.cancel_take(self)

    # -- what asyncio's tasks ask a future for ---------------------------------------

    def get_loop(self) -> AbstractEventLoop:
        """The loop that it belongs to."""
        return self._loop

    def add_done_callback(
        self, callback: Callable[[Any], object], *, context: Context | None = None
    ) -> None:
        """Call *callback* with this when the wait is over."""
        if self._woken:
            self._loop.call_soon(callback, self, context=context)
            return
        self._context = context
        self._callback = callback

    def cancel(self, msg: Any = None) -> bool:
        """End the wait with ``CancelledError``."""
        callback, self._callback = self._callback, None
        if callback is None:
            return False
        self._cancelled = () if msg is None else (msg,)
        self._loop.call_soon(callback, self, context=self._context)
        return True

    def result(self) -> None:
        """Nothing.

        :raises CancelledError: the wait was cancelled
        """
        if self._cancelled is not None:
            raise CancelledError(*self._cancelled)


class Messages:
    """Awaits the next message, and iterates over all that come.

    :param loop: as :class:`Receiver`
    :param connection: as :class:`Receiver`
    """

    __slots__ = ("_receiver",)

    def __init__(self, loop: AbstractEventLoop, connection: Connection) -> None:
        self._receiver = Receiver(loop, connection)

    def __aiter__(self) -> Messages:
        return self

    async def __anext__(self) -> str | bytes:
        return await self

    def __await__(self) -> Generator[Receiver, None, str | bytes]:
        """The next message.

        :raises StopAsyncIteration: the websocket has ended
        :raises RuntimeError: another task waits for it
        """
        receiver = self._receiver
        while True:
            message = receiver.take()
            if message is not WAIT:
                return message  # type: ignore[return-value]  # WAIT is excluded
            try:
                yield receiver
            except BaseException:
                receiver.break_off()
                raise
