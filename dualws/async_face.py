"""The asynchronous face of a connection: ``ws`` in an ``async def`` view.

Law: the same names and meanings as the blocking face, awaited; and it may run on an asyncio
loop in another thread than the one that reads the socket (it does so on gevent).
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator

from dualws.connection import ENDED, WAIT
from dualws.faces import Face, WebSocket
from dualws.protocol.outgoing import Data, message_frame


class AsyncWebSocket(Face):
    """One open websocket, for coroutines.

    Made and used inside one running asyncio loop.

    :param ws: the accepted websocket
    """

    def __init__(self, ws: WebSocket) -> None:
        super().__init__(ws.environ, ws.handshake, ws.server)
        self.subprotocol = ws.subprotocol
        self.request = ws.request
        self._connection = ws.connection
        self._open_connection = ws.connection
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._arrival: asyncio.Future[None] | None = None

    # -- messages ------------------------------------------------------------------

    async def receive(self, timeout: float | None = None) -> str | bytes | None:
        """Wait for the next message.

        :param timeout: seconds; None waits as long as it takes
        :return: text as ``str``, binary as ``bytes``, None once the websocket has ended
        :raises TimeoutError: nothing came in time; the websocket stays open
        """
        connection = self._open_connection
        while True:
            arrival = self._arrival = self._loop.create_future()
            message = connection.take(self._arrived)
            if message is WAIT:
                try:
                    if timeout is None:
                        await arrival
                    else:
                        async with asyncio.timeout(timeout):
                            await arrival
                except BaseException:
                    # Timed out or cancelled: a message that comes now stays in the inbox.
                    connection.cancel_take()
                    raise
            elif message is ENDED:
                return None
            else:
                return message  # type: ignore[return-value]

    def _arrived(self) -> None:
        if self._arrival is not None:
            self._resolve(self._arrival)

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        """The messages, until the websocket ends."""
        while (message := await self.receive()) is not None:
            yield message

    async def send(
        self, data: Data, binary: bool | None = None, *, compress: bool | None = None
    ) -> None:
        """Send one message. Waits while the peer has not read what was sent before.

        :param data: ``str`` goes as text, bytes-like data as binary
        :param binary: overrides that (bytes sent as text must be UTF-8)
        :param compress: True and False override ``DUALWS_COMPRESSION_THRESHOLD``; without
            an agreement on compression the message is never compressed
        :raises WebSocketClosed: it is closed
        :raises SendTimeout: the peer took nothing for ``DUALWS_SEND_TIMEOUT`` seconds
        :raises TypeError: *data* is none of these types
        """
        connection = self._open_connection
        if connection.write(message_frame(data, binary, compress, connection.deflate)):
            return
        while True:
            room = self._loop.create_future()
            drained = functools.partial(self._resolve, room)
            before = connection.when_drained(drained)
            if before is None:
                return
            try:
                async with asyncio.timeout(connection.config.send_timeout):
                    await room
                return
            except TimeoutError:
                if not connection.cancel_drained(drained):
                    return
                connection.check_progress(before)

    def _resolve(self, future: asyncio.Future[None]) -> None:
        """Wake the coroutine that waits for *future*; from any thread."""
        if threading.get_ident() == self._thread:
            _set(future)
        else:
            self._loop.call_soon_threadsafe(_set, future)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
