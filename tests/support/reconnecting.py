"""Clients that come back whenever they are sent away, and visitors that ask page after page.

Law: *whatever is not a correct goodbye is remembered as what it is*: a websocket that ends without
a close frame is a 1006, a request without a whole answer is a failure. Nothing is tried twice.
"""

from __future__ import annotations

import asyncio
import base64
import os
import struct
import time
from collections import Counter

from support.frames import CLOSE, PING, PONG, TEXT, build
from support.timing import TIMEOUT


class Crowd:
    """Websockets that are opened again when the server closes them.

    :param address: the server's
    :param path: of the websocket; ``?key=NUMBER-ROUND`` is added
    """

    def __init__(self, address: tuple[str, int], path: str) -> None:
        self._address = address
        self._path = path
        #: how often each close code came; 1006 for an end without one
        self.codes: Counter[int] = Counter()
        #: keys of the websockets that were opened
        self.keys: set[str] = set()
        #: key -> the process that serves it, for those that are open
        self.served_by: dict[str, int] = {}
        #: when each close frame came, in monotonic time
        self.moments: list[float] = []
        #: whether to open a closed one again
        self.returning = True
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self, count: int, at_a_time: int = 50) -> None:
        """Open *count* websockets, so many of them at the same moment."""
        gate = asyncio.Semaphore(at_a_time)
        self._tasks = [asyncio.create_task(self._member(number, gate)) for number in range(count)]
        await self.wait_for(lambda: len(self.served_by) == count)

    async def wait_for(self, check: object) -> None:
        """Wait until *check* is true."""
        assert callable(check)
        async with asyncio.timeout(12 * TIMEOUT):
            while not check():
                for task in self._tasks:
                    if task.done() and task.exception() is not None:
                        task.result()
                await asyncio.sleep(0.05)

    async def gone(self) -> None:
        """Wait until all have been closed for good."""
        self.returning = False
        async with asyncio.timeout(12 * TIMEOUT):
            await asyncio.gather(*self._tasks)

    async def _member(self, number: int, gate: asyncio.Semaphore) -> None:
        turn = 0
        while self.returning:
            key = f"{number}-{turn}"
            turn += 1
            async with gate:
                reader, writer = await asyncio.open_connection(*self._address)
                await self._shake_hands(reader, writer, key)
            try:
                await self._talk(reader, writer, key)
            except (ConnectionError, asyncio.IncompleteReadError):
                self.codes[1006] += 1
            finally:
                self.served_by.pop(key, None)
                writer.close()

    async def _shake_hands(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str
    ) -> None:
        nonce = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            f"GET {self._path}?key={key} HTTP/1.1\r\nHost: {self._address[0]}\r\n"
            f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {nonce}\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        self.keys.add(key)
        writer.write(build(TEXT, b"who"))

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str
    ) -> None:
        while True:
            first, size = await reader.readexactly(2)
            assert size < 126
            payload = await reader.readexactly(size)
            opcode = first & 15
            if opcode == CLOSE:
                self.codes[struct.unpack("!H", payload[:2])[0]] += 1
                self.moments.append(time.monotonic())
                writer.write(build(CLOSE, payload))
                assert await reader.read() == b""
                return
            if opcode == PING:
                writer.write(build(PONG, payload))
            elif payload[:1].isdigit():
                self.served_by[key] = int(payload.split()[0])


class Visitor:
    """Asks for a page again and again.

    :param keep_alive: on one connection for as long as the server lets it; otherwise each time on
        a new one
    """

    def __init__(self, address: tuple[str, int], path: str, *, keep_alive: bool) -> None:
        self._address = address
        self._path = path
        self._keep_alive = keep_alive
        #: whole answers
        self.answers = 0
        #: what went wrong
        self.failures: list[str] = []
        self.leaving = False

    async def visit(self) -> None:
        """Ask until :attr:`leaving`."""
        while not self.leaving:
            try:
                await self._visit()
            except (OSError, EOFError, AssertionError) as error:
                self.failures.append(repr(error))

    async def _visit(self) -> None:
        reader, writer = await asyncio.open_connection(*self._address)
        option = "keep-alive" if self._keep_alive else "close"
        request = f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\nConnection: {option}\r\n\r\n"
        try:
            while not self.leaving:
                writer.write(request.encode())
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                assert head.startswith("http/1.1 200 "), head
                length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
                await reader.readexactly(length)
                self.answers += 1
                await asyncio.sleep(0.02)
                if "\r\nconnection: close\r\n" in head:
                    return
        finally:
            writer.close()
