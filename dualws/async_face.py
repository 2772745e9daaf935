"""The asynchronous face of a connection: ``ws`` in an ``async def`` view.

Law: the same names and meanings as the blocking face, awaited; and it may run on an asyncio
loop in another thread than the one that reads the socket (it does so on gevent).
"""

from __future__ import annotations

import asyncio
import functools
import json
import threading
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from typing import Any

from dualws import json_messages
from dualws.faces import Face, WebSocket
from dualws.hot import others_turn
from dualws.hot.coroutines import Messages
from dualws.loops import call_from_outside
from dualws.protocol.fragments import AsyncChunks, Fragments
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
        self._messages = Messages(self._loop, ws.connection)

    # -- messages ------------------------------------------------------------------

    async def receive(self, timeout: float | None = None) -> str | bytes | None:
        """Wait for the next message.

        :param timeout: seconds; None waits as long as it takes
        :return: text as ``str``, binary as ``bytes``, None once the websocket has ended
        :raises TimeoutError: nothing came in time; the websocket stays open
        """
        try:
            if timeout is None:
                return await self._messages
            async with asyncio.timeout(timeout):
                return await self._messages
        except StopAsyncIteration:
            return None

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        """The messages, until the websocket ends."""
        return self._messages

    async def __anext__(self) -> str | bytes:
        return await self._messages

    async def receive_json(self, timeout: float | None = None) -> Any:
        """Wait for the next message, which must be JSON (text, or UTF-8 in a binary one).

        :param timeout: seconds; None waits as long as it takes
        :return: the message's value
        :raises InvalidMessage: it is not JSON; the websocket stays open. A handler that does
            not catch it closes with 1007
        :raises WebSocketClosed: the websocket has ended (None would be JSON's ``null``)
        :raises TimeoutError: nothing came in time; the websocket stays open
        """
        message = await self.receive(timeout)
        if message is None:
            raise self._open_connection.closed_error()
        return json_messages.decode(message)

    async def send(
        self, data: Data | AsyncChunks, binary: bool | None = None, *, compress: bool | None = None
    ) -> None:
        """Send one message. Waits while the peer has not read what was sent before.

        :param data: ``str`` goes as text, bytes-like data as binary. An iterator of either,
            asynchronous or not, is sent as it produces: each chunk is a frame (RFC 6455
            section 5.4), held until the next one shows that it is not the last. What others
            send to this client meanwhile follows afterwards.
        :param binary: overrides that (bytes sent as text must be UTF-8)
        :param compress: True and False override ``DUALWS_COMPRESSION_THRESHOLD``, which an
            iterator's first chunk is compared with; without an agreement on compression the
            message is never compressed
        :raises WebSocketClosed: it is closed
        :raises SendTimeout: the peer took nothing for ``DUALWS_SEND_TIMEOUT`` seconds
        :raises TypeError: *data*, or a chunk, is none of these types
        :raises Exception: what the iterator raises. When a part of its message is out already
            the websocket is closed (1011): the message cannot be taken back
        """
        connection = self._open_connection
        if binary is None and compress is None:
            room = connection.send_message(data)
            if room is not None:  # what nearly all messages are
                if not room:
                    await self._wait_for_peer()
                return
        if not isinstance(data, str | bytes) and isinstance(data, Iterator | AsyncIterable):
            await self._send_fragments(data, binary, compress)
            return
        if connection.behind and not connection.closed:
            await self._wait_for_peer()
        frame = message_frame(data, binary, compress, connection.deflate)
        # See WebSocket.send().
        if others_turn(0 if connection.deflate is None else len(data)):
            await asyncio.sleep(0)
        if not connection.write(frame):
            await self._wait_for_peer()

    async def send_json(
        self,
        value: object,
        *,
        encoder: type[json.JSONEncoder] | None = None,
        compress: bool | None = None,
    ) -> None:
        """Send *value* as one JSON text message.

        :param encoder: default: Django's ``DjangoJSONEncoder``: dates, decimals, UUIDs
        :param compress: as in :meth:`send`
        :raises WebSocketClosed: it is closed
        :raises SendTimeout: as :meth:`send`
        :raises TypeError: *value* holds something that the encoder does not know
        :raises ValueError: *value* holds NaN or an infinity, or itself
        """
        await self.send(json_messages.encode(value, encoder), compress=compress)

    async def _wait_for_peer(self, *, own: bool = False) -> None:
        connection = self._open_connection
        connection.behind = True
        while True:
            room = self._loop.create_future()
            drained = functools.partial(self._resolve, room)
            before = connection.when_drained(drained, own=own)
            if before is None:
                break
            try:
                async with asyncio.timeout(connection.config.send_timeout):
                    await room
            except TimeoutError:
                if connection.cancel_drained(drained):
                    connection.check_progress(before)
            except BaseException:  # cancelled while it waited
                connection.cancel_drained(drained)
                raise
        connection.behind = False

    async def _send_fragments(
        self, data: AsyncChunks, binary: bool | None, compress: bool | None
    ) -> None:
        connection = self._open_connection
        turn = self._loop.create_future()
        ready = functools.partial(self._resolve, turn)
        if not connection.begin_fragments(ready):
            try:
                await turn
            except BaseException:  # cancelled while it waited
                if not connection.cancel_fragments(ready):
                    connection.end_fragments(complete=True)
                raise
        fragments = Fragments(binary, compress, connection.deflate)
        begun = complete = False
        try:
            async for chunk in _each(data):
                frame = fragments.add(chunk)
                if frame is not None:
                    begun = True
                    if others_turn(len(frame)):
                        await asyncio.sleep(0)
                    if not connection.write_fragment(frame):
                        await self._wait_for_peer(own=True)
            begun = True
            if not connection.write_fragment(fragments.last()):
                await self._wait_for_peer(own=True)
            complete = True
        finally:
            connection.end_fragments(complete or not begun)

    def _resolve(self, future: asyncio.Future[None]) -> None:
        """Wake the coroutine that waits for *future*; from any thread."""
        if threading.get_ident() == self._thread:
            _set(future)
        else:
            call_from_outside(self._loop, _set, future)


async def _each(chunks: AsyncChunks) -> AsyncIterator[Data]:
    if isinstance(chunks, AsyncIterable):
        async for chunk in chunks:
            yield chunk
    else:
        for part in chunks:
            yield part


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
