"""What a coroutine waits for in ``receive()``, with every kind of loop and task that there is."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import importlib.util
import sys
import threading
from asyncio import tasks
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest

from dualws.async_face import AsyncWebSocket
from dualws.connection import Connection
from dualws.protocol.stream import Stream
from support.noted import Case, NotedTransport, frame

Main: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

SECONDS = 5


def _python_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Tasks that asyncio has in Python, as debuggers and other interpreters use them."""

    def make(loop: Any, coroutine: Any, **options: Any) -> Any:
        return tasks._PyTask(coroutine, loop=loop, **options)

    loop.set_task_factory(make)


def _eager(loop: asyncio.AbstractEventLoop) -> None:
    loop.set_task_factory(asyncio.eager_task_factory)


def _debug(loop: asyncio.AbstractEventLoop) -> None:
    loop.set_debug(True)


def _plain(loop: asyncio.AbstractEventLoop) -> None:
    pass


def _uvloop() -> asyncio.AbstractEventLoop:
    import uvloop

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


KINDS: dict[str, tuple[Callable[[], asyncio.AbstractEventLoop], Callable[..., None]]] = {
    "asyncio": (asyncio.new_event_loop, _plain),
    "debug": (asyncio.new_event_loop, _debug),
    "python-tasks": (asyncio.new_event_loop, _python_tasks),
}
if sys.version_info >= (3, 12):
    KINDS["eager"] = asyncio.new_event_loop, _eager
if importlib.util.find_spec("uvloop"):
    KINDS["uvloop"] = _uvloop, _plain


@pytest.fixture(params=KINDS)
def run(request: pytest.FixtureRequest) -> Callable[[Main], None]:
    """``run(main)``: to its end, on a loop of one kind."""
    make, prepare = KINDS[request.param]

    def run(main: Main) -> None:
        with asyncio.Runner(loop_factory=make) as runner:
            prepare(runner.get_loop())
            runner.run(asyncio.wait_for(main(), SECONDS))

    return run


def open_one(case: Case) -> Connection:
    """One more connection of the same server."""
    connection = Connection(case.server, Stream())
    connection.open(NotedTransport())
    return connection


def face(connection: Connection) -> AsyncWebSocket:
    ws: Any = SimpleNamespace(
        environ={}, handshake=None, server=None, subprotocol=None, request=None
    )
    ws.connection = connection
    return AsyncWebSocket(ws)


async def as_the_loop(function: Callable[..., object], *args: object) -> None:
    """Call *function* as a loop calls a transport: in no task."""
    asyncio.get_running_loop().call_soon(functools.partial(function, *args))
    await asyncio.sleep(0)


def test_a_wait_ends_by_a_message_a_cancellation_or_a_timeout(run: Callable[[Main], None]) -> None:
    async def main() -> None:
        case = Case()
        ws = face(case.connection)
        got: list[object] = []

        async def receive() -> None:
            got.append(await ws.receive())

        async def bring(text: bytes) -> None:
            await as_the_loop(case.receive, frame(0x81, text))

        async with asyncio.TaskGroup() as group:
            group.create_task(receive())
            await asyncio.sleep(0)
            await bring(b"for a group's task")
            assert got == ["for a group's task"], "inside the call"

        cancelled = asyncio.ensure_future(ws.receive())
        await asyncio.sleep(0)
        cancelled.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await cancelled

        with pytest.raises(TimeoutError):
            await ws.receive(0.001)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ws.receive(), 0.001)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(ws), 0.001)
        with pytest.raises(TimeoutError):
            await ws.receive(0)
        assert not case.connection.awaited

        waiting = asyncio.ensure_future(asyncio.wait_for(ws.receive(SECONDS), SECONDS))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # until 3.11 wait_for makes a task of its own
        await bring(b"after all that")
        assert await waiting == "after all that"

    run(main)


@pytest.mark.parametrize("first", ["message", "cancel"])
def test_a_task_cancelled_as_its_message_comes_leaves_it_to_the_next(
    run: Callable[[Main], None], first: str
) -> None:
    async def main() -> None:
        case = Case()
        ws = face(case.connection)
        receiving = asyncio.ensure_future(ws.receive())
        await asyncio.sleep(0)
        # This is a task, so the other one cannot go on inside these calls.
        if first == "cancel":
            receiving.cancel()
        case.receive(frame(0x81, b"kept"))
        if first == "message":
            receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        assert await ws.receive() == "kept"
        waiting = asyncio.ensure_future(ws.receive())
        await asyncio.sleep(0)
        await as_the_loop(case.receive, frame(0x81, b"next"))
        assert await waiting == "next"

    run(main)


def test_a_task_may_close_the_websockets_of_others(run: Callable[[Main], None]) -> None:
    """Each of many closes the next: none runs inside another, and all end."""

    async def main() -> None:
        case = Case()
        connections = [open_one(case) for _ in range(2000)]
        inside: list[int] = []
        ended: list[int] = []

        async def handler(number: int) -> None:
            assert await face(connections[number]).receive() is None
            assert not inside
            inside.append(number)
            if number + 1 < len(connections):
                connections[number + 1].close()
            ended.append(inside.pop())

        handlers = [asyncio.ensure_future(handler(n)) for n in range(len(connections))]
        await asyncio.sleep(0)
        await as_the_loop(connections[0].close)
        await asyncio.gather(*handlers)
        assert ended == list(range(len(connections)))

    run(main)


@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt])
def test_what_ends_the_loop_does_not_come_out_where_the_message_came_from(
    end: type[BaseException],
) -> None:
    loop = asyncio.new_event_loop()
    done: list[str] = []

    case = Case()

    async def receive() -> None:
        await face(case.connection).receive()
        raise end("of all")

    task = loop.create_task(receive())

    def bring() -> None:
        case.receive(frame(0x81, b"the last"))
        done.append("the rest of what the transport does")

    loop.call_soon(bring)
    with pytest.raises(end, match="of all"):
        loop.run_until_complete(asyncio.sleep(SECONDS))
    assert done == ["the rest of what the transport does"]
    assert isinstance(task.exception(), end)
    for rest in asyncio.all_tasks(loop):
        rest.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(rest)
    loop.close()


def test_a_callback_in_the_tasks_own_context_may_bring_the_message() -> None:
    async def main() -> None:
        case = Case()
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        receiving = loop.create_task(face(case.connection).receive(), context=context)
        await asyncio.sleep(0)
        loop.call_soon(case.receive, frame(0x81, b"in there"), context=context)
        assert await asyncio.wait_for(receiving, SECONDS) == "in there"

    asyncio.run(main())


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_task_that_comes_between_is_refused_and_the_first_goes_on(cancelled: bool) -> None:
    """The first one's message is there, and the loop has yet to come to it."""

    async def main() -> None:
        case = Case()
        ws = face(case.connection)
        first = asyncio.ensure_future(ws.receive())
        await asyncio.sleep(0)
        if cancelled:
            first.cancel()
            case.receive(frame(0x81, b"taken"))
        else:
            thread = threading.Thread(target=case.receive, args=(frame(0x81, b"taken"),))
            thread.start()
            thread.join()
        assert await ws.receive() == "taken"
        with pytest.raises(RuntimeError, match="let one task receive"):
            await ws.receive()
        second = asyncio.ensure_future(ws.receive()) if cancelled else None
        done, _ = await asyncio.wait({first}, timeout=0 if not cancelled else SECONDS)
        assert bool(done) is cancelled
        await as_the_loop(case.receive, frame(0x81, b"next"))
        assert await asyncio.wait_for(second or first, SECONDS) == "next"

    asyncio.run(main())


def test_another_loop_is_refused_and_harms_nobody() -> None:
    async def main() -> None:
        case = Case()
        ws = face(case.connection)
        errors: list[BaseException] = []

        def elsewhere() -> None:
            try:
                asyncio.run(ws.receive())
            except RuntimeError as error:
                errors.append(error)

        one_thread = ThreadPoolExecutor(1)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(one_thread, elsewhere)
        assert "different loop" in str(errors[0])

        threads: list[int] = []

        async def receive() -> object:
            message = await ws.receive()
            threads.append(threading.get_ident())
            return message

        receiving = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        await loop.run_in_executor(one_thread, case.receive, frame(0x81, b"here"))
        assert await receiving == "here"
        assert threads == [threading.get_ident()]
        one_thread.shutdown()

    asyncio.run(main())


def test_a_loop_that_has_ended_is_told_nothing() -> None:
    case = Case()
    case.transport.buffered = case.config.send_buffer_size + 1

    async def main() -> None:
        ws = face(case.connection)
        for waits in (ws.receive(), ws.send("to a slow peer")):
            task = asyncio.ensure_future(waits)
            await asyncio.sleep(0)
            assert not task.done()
            left.append(task)

    left: list[asyncio.Task[Any]] = []
    failed: list[BaseException] = []

    def lose() -> None:
        try:
            case.connection.connection_lost(None)
        except BaseException as error:
            failed.append(error)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    thread = threading.Thread(target=lose)
    thread.start()
    thread.join()
    assert not failed
    assert case.forgotten == [case.connection]
    for task in left:
        task._log_destroy_pending = False
