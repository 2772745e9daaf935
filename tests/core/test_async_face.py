"""The asynchronous face's own part: whose future is resolved when a message comes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from dualws.async_face import AsyncWebSocket
from dualws.connection import WAIT


class OneMessage:
    """A connection whose only message comes when the test says so."""

    def __init__(self) -> None:
        self.ready: Any = None
        self.message: str | None = None

    def take(self, ready: Any) -> object:
        if self.message is not None:
            message, self.message = self.message, None
            return message
        return WAIT

    def when_ready(self, ready: Any) -> bool:
        if self.message is not None:
            return False
        if self.ready is not None:
            raise RuntimeError("other code waits in receive()")
        self.ready = ready
        return True

    def cancel_take(self) -> bool:
        ready, self.ready = self.ready, None
        return ready is not None

    def arrive(self, message: str) -> Any:
        """The message is there; what must be called, now or a little later."""
        self.message = message
        ready, self.ready = self.ready, None
        return ready


def face(connection: OneMessage) -> AsyncWebSocket:
    ws: Any = SimpleNamespace(
        environ={}, handshake=None, server=None, subprotocol=None, request=None
    )
    ws.connection = connection
    return AsyncWebSocket(ws)


def test_a_second_receive_is_refused_and_the_first_still_gets_its_message() -> None:
    async def main() -> None:
        connection = OneMessage()
        ws = face(connection)
        first = asyncio.ensure_future(ws.receive())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="other code waits"):
            await ws.receive()
        connection.arrive("hello")()
        done, _ = await asyncio.wait({first}, timeout=5)
        assert [task.result() for task in done] == ["hello"]

    asyncio.run(main())


def test_a_call_for_a_wait_that_is_over_does_not_end_the_next() -> None:
    async def main() -> None:
        connection = OneMessage()
        ws = face(connection)
        timed_out = asyncio.ensure_future(ws.receive(0.01))
        await asyncio.sleep(0)
        late = connection.arrive("first")
        with pytest.raises(TimeoutError):
            await timed_out
        assert await ws.receive() == "first"
        waiting = asyncio.ensure_future(ws.receive())
        await asyncio.sleep(0)
        late()
        await asyncio.sleep(0)
        connection.arrive("second")()
        assert await waiting == "second"

    asyncio.run(main())
