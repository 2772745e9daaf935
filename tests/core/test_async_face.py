"""The asynchronous face's own part: whose wait ends when a message comes, and where."""

from __future__ import annotations

import asyncio
import contextvars
import threading
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
        if self.ready is not None and self.ready is not ready:
            raise RuntimeError("other code waits in receive()")
        self.ready = ready
        return WAIT

    def cancel_take(self, taker: Any = None) -> bool:
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
        with pytest.raises(RuntimeError, match="another task"):
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


def test_the_handler_goes_on_inside_the_call_that_brings_its_message() -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="")
    got: list[tuple[str | bytes, str]] = []

    async def main() -> None:
        connection = OneMessage()
        ws = face(connection)

        async def handler() -> None:
            name.set("handler")
            async for message in ws:
                got.append((message, name.get()))

        task = asyncio.ensure_future(handler())
        await asyncio.sleep(0)

        seen: list[int] = []

        def bring() -> None:
            for message in ("one", "two"):
                connection.arrive(message)()
                seen.append(len(got))

        # As the loop calls a transport: without a task.
        asyncio.get_running_loop().call_soon(bring)
        await asyncio.sleep(0)
        assert seen == [1, 2]
        assert got == [("one", "handler"), ("two", "handler")]
        assert name.get() == ""
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_a_task_that_brings_a_message_is_not_interrupted() -> None:
    async def main() -> None:
        connection = OneMessage()
        receiving = asyncio.ensure_future(face(connection).receive())
        await asyncio.sleep(0)
        connection.arrive("later")()
        assert not receiving.done()
        assert await receiving == "later"

    asyncio.run(main())


def test_another_thread_may_bring_the_message() -> None:
    async def main() -> None:
        connection = OneMessage()
        receiving = asyncio.ensure_future(face(connection).receive())
        await asyncio.sleep(0)
        threading.Thread(target=lambda: connection.arrive("from afar")()).start()
        assert await receiving == "from afar"

    asyncio.run(main())


def test_a_message_that_came_just_before_the_wait_is_not_waited_for() -> None:
    class Hasty(OneMessage):
        def take(self, ready: Any) -> object:
            message = super().take(ready)
            if message is WAIT:
                self.arrive("at once")()
            return message

    assert asyncio.run(_receive_from(Hasty())) == "at once"


async def _receive_from(connection: OneMessage) -> str | bytes | None:
    return await asyncio.wait_for(face(connection).receive(), 5)


def test_a_cancelled_step_of_an_iteration_leaves_the_next_one_whole() -> None:
    """``anext`` with a default asks for the awaitable's iterator at each step."""

    async def main() -> None:
        connection = OneMessage()
        ws = face(connection)
        for step in (lambda: anext(aiter(ws), "default"), lambda: anext(ws)):
            waiting = asyncio.ensure_future(step())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            receiving = asyncio.ensure_future(ws.receive())
            await asyncio.sleep(0)
            connection.arrive("hello")()
            assert await receiving == "hello"

    asyncio.run(main())


def test_a_wait_can_be_cancelled_with_a_message_of_its_own() -> None:
    async def main() -> None:
        connection = OneMessage()
        ws = face(connection)
        receiving = asyncio.ensure_future(ws.receive())
        await asyncio.sleep(0)
        receiving.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await receiving
        assert connection.ready is None, "nobody waits any more"
        connection.message = "kept"
        assert await ws.receive() == "kept"

    asyncio.run(main())
