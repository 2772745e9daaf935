"""The client's side of the protocol (RFC 6455 as a client speaks it).

Law: it behaves as a browser does: masks what it sends, answers pings and the close frame by
itself, and keeps messages until they are asked for.
"""

from __future__ import annotations

import os
import threading
from collections import deque

from dualws.protocol import frames
from dualws.protocol.deflate import NAME, Agreement, Deflate
from dualws.protocol.extensions import parse
from dualws.protocol.fragments import Fragments
from dualws.protocol.masking import unmask
from dualws.protocol.outgoing import Data
from dualws.protocol.stream import Close, Failure, Ping, Pong, Stream
from dualws.testing.transport import MemoryTransport

#: What a browser offers.
OFFER = f"{NAME}; client_max_window_bits"


class Client:
    """Implements :class:`dualws.testing.transport.Peer`.

    :param changed: notified when something has come
    """

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self._stream: Stream
        self._deflate: Deflate | None = None
        self._transport: MemoryTransport
        self._close_sent = False
        #: messages that nobody has asked for yet, with the bytes that they came in
        self.messages: deque[tuple[str | bytes, int]] = deque()
        #: data of pongs that nobody has waited for yet
        self.pongs: deque[bytes] = deque()
        self._pending = 0
        #: code of the end; None while open
        self.close_code: int | None = None
        self.close_reason = ""
        #: what the server did that no server may do
        self.violation: Failure | None = None

    def begin(self, transport: MemoryTransport, extensions: str) -> None:
        """The handshake is over.

        :param extensions: Sec-WebSocket-Extensions of the response, empty without
        """
        self._transport = transport
        if extensions:
            self._deflate = Deflate(_mirrored(extensions))
        self._stream = Stream(expect_masking=False, deflate=self._deflate)

    # -- from the server, in the loop's thread -----------------------------------------

    def data_received(self, data: bytes) -> None:
        """The server sent *data*."""
        self._pending += len(data)
        for event in self._stream.feed(data):
            size, self._pending = self._pending, 0
            if isinstance(event, str | bytes):
                with self._changed:
                    self.messages.append((event, size))
                    self._changed.notify_all()
                continue
            if isinstance(event, Ping):
                self.send_frame(frames.PONG, event.data)
            elif isinstance(event, Pong):
                with self._changed:
                    self.pongs.append(event.data)
                    self._changed.notify_all()
            elif isinstance(event, Close):
                if not self._close_sent:
                    self._send_close(None if event.code == 1005 else event.code)
                self._end(event.code, event.reason)
            else:
                self.violation = event
                self._send_close(event.code, event.reason)
                self._end(event.code, event.reason)
            self._transport.consumed(size)

    def connection_lost(self) -> None:
        """The server sends no more."""
        self._end(1006, "the connection ended without a close frame")

    def _end(self, code: int, reason: str) -> None:
        with self._changed:
            if self.close_code is None:
                self.close_code = code
                self.close_reason = reason
            self._changed.notify_all()

    # -- to the server -----------------------------------------------------------------

    def take(self) -> str | bytes:
        """The next message; there is one."""
        message, size = self.messages.popleft()
        self._transport.consumed(size)
        return message

    def send_message(self, data: Data, binary: bool | None) -> None:
        """Send a whole message, compressed where that was agreed on."""
        fragments = Fragments(binary, None, self._deflate)
        fragments.add(data)
        self.send_built(fragments.last())

    def send_frame(self, opcode: int, payload: bytes) -> None:
        """Send one frame."""
        self.send_built(frames.build(opcode, payload))

    def send_close(self, code: int | None, reason: str) -> None:
        """Begin the close handshake, unless it has begun."""
        if not self._close_sent and self.close_code is None:
            self._send_close(code, reason)

    def _send_close(self, code: int | None, reason: str = "") -> None:
        self._close_sent = True
        self.send_built(frames.close(code, reason))

    def send_built(self, frame: bytes) -> None:
        """Mask a frame (section 5.3) and send it."""
        length = frame[1]
        start = {126: 4, 127: 10}.get(length, 2)
        key = os.urandom(4)
        head = bytes((frame[0], length | 0x80)) + frame[2:start]
        self._transport.send(head + key + unmask(frame[start:], key))


def _mirrored(extensions: str) -> Agreement:
    """What was agreed on, seen from this side: what the server holds to, the client expects."""
    asked = dict(parse(extensions)[0].parameters)
    client_bits = asked.get("client_max_window_bits")
    return Agreement(
        server_no_context_takeover="client_no_context_takeover" in asked,
        client_no_context_takeover="server_no_context_takeover" in asked,
        server_max_window_bits=int(client_bits or 15),
        client_max_window_bits=int(asked.get("server_max_window_bits") or 15),
    )
