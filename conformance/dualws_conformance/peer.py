"""A websocket client that reads only what a server may send.

Law: frames are judged as they arrive (masked, reserved bits, lengths, control frames,
fragments): whatever a case is about, a server that breaks RFC 6455 on the way fails it.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

from dualws_conformance import frames
from dualws_conformance.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame
from dualws_conformance.model import equal, fail
from dualws_conformance.wire import Client, Ended, Head


class Peer:
    """One open websocket.

    :param client: its connection, after the 101
    :param head: the 101
    :param deflate: the agreed compression, None without
    """

    def __init__(self, client: Client, head: Head, deflate: frames.Deflate | None = None) -> None:
        self.client = client
        self.head = head
        self.deflate = deflate

    # -- sending -------------------------------------------------------------------

    def send(self, *data: bytes) -> None:
        """Send bytes (frames, or what looks like them) in one piece."""
        self.client.send(b"".join(data))

    def text(self, data: str) -> None:
        """Send a text message."""
        self.send(frames.text(data))

    def binary(self, data: bytes) -> None:
        """Send a binary message."""
        self.send(frames.binary(data))

    # -- reading -------------------------------------------------------------------

    def frame(self, what: str = "a frame") -> Frame:
        """The next frame."""
        first, second = self.client.read(2, what)
        fin, rsv, opcode = bool(first & 0x80), first >> 4 & 7, first & 0x0F
        if second & 0x80:
            fail("the server sent a masked frame, which RFC 6455 5.1 forbids")
        length = second
        if second == 126:
            length = int.from_bytes(self.client.read(2), "big")
        elif second == 127:
            length = int.from_bytes(self.client.read(8), "big")
        least = {126: 126, 127: 1 << 16}.get(second, 0)
        if length < least:
            fail(f"the server gave the length {length} in too long a form (RFC 6455 5.2)")
        if opcode not in frames.NAMES:
            fail(f"the server sent the reserved opcode {opcode}")
        if rsv and not (rsv == 4 and self.deflate is not None and opcode in (TEXT, BINARY)):
            fail(f"the server set reserved bits ({rsv:03b}) that no extension gave a meaning")
        if opcode >= CLOSE and (not fin or length > 125):
            fail("the server sent a control frame that is fragmented or over 125 bytes")
        return Frame(opcode, self.client.read(length, f"the payload of {what}"), fin, rsv)

    def message(self, what: str = "a message") -> str | bytes:
        """The next message, whole; a control frame instead is a failure."""
        frame = self.frame(what)
        if frame.opcode not in (TEXT, BINARY):
            fail(f"the server sent {frame} where {what} was expected")
        parts = [frame.payload]
        last = frame
        while not last.fin:
            last = self.frame(f"the rest of {what}")
            if last.opcode != CONTINUATION:
                fail(f"the server sent {last} inside a fragmented message")
            parts.append(last.payload)
        data = b"".join(parts)
        if frame.rsv and self.deflate is not None:
            try:
                data = self.deflate.inflate(data)
            except zlib.error as error:
                fail(f"the server's compressed message cannot be inflated: {error}")
        if frame.opcode == BINARY:
            return data
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            fail("the server sent a text message that is not UTF-8")

    def json(self, what: str = "a message") -> Any:
        """The next message's JSON."""
        return json.loads(self.message(what))

    # -- expecting -----------------------------------------------------------------

    def expect(self, *messages: str | bytes) -> None:
        """These messages come next."""
        for expected in messages:
            equal(self.message("the echo of a message"), expected, "the server's message")

    def echo(self, *messages: str | bytes) -> None:
        """Send messages in one piece and get them back."""
        self.send(*(frames.text(m) if isinstance(m, str) else frames.binary(m) for m in messages))
        self.expect(*messages)

    def expect_pong(self, payload: bytes = b"") -> None:
        """A pong comes next."""
        frame = self.frame("a pong")
        if frame.opcode != PONG or frame.payload != payload:
            fail(f"the server sent {frame} where a pong with {payload!r} was expected")

    def expect_ping(self) -> bytes:
        """A ping comes next; its payload."""
        frame = self.frame("a ping")
        if frame.opcode != PING:
            fail(f"the server sent {frame} where a ping was expected")
        return frame.payload

    def alive(self) -> None:
        """The connection is open and nothing is under way: a ping is answered next."""
        self.send(frames.build(PING, b"kit"))
        self.expect_pong(b"kit")

    def expect_close(self, *codes: int | None, reason: str | None = None) -> Frame:
        """A close frame with one of *codes* comes next.

        :param reason: exact reason; None takes any
        """
        frame = self.frame("a close frame")
        if frame.opcode != CLOSE:
            fail(f"the server sent {frame} where a close frame was expected")
        if len(frame.payload) == 1:
            fail("the server sent a close frame of one byte")
        if codes and frame.code not in codes:
            allowed = " or ".join(str(code) for code in codes)
            fail(f"the server closed with {frame.code} ({frame.reason!r}), expected {allowed}")
        if reason is not None:
            equal(frame.reason, reason, "the close reason")
        return frame

    def expect_failed(self, *codes: int) -> None:
        """The server fails the connection (RFC 6455 7.1.7): a close frame, then the end."""
        self.expect_close(*codes)
        self.client.expect_end()

    def goodbye(self, code: int | None = 1000, reason: str = "") -> None:
        """A whole close handshake that this side begins: the code comes back, then the end."""
        self.send(frames.closing(code, reason))
        self.expect_close(code)
        self.client.expect_end()

    def answered_or_closed(self) -> str:
        """What comes next, in a word: ``closed``, ``close CODE`` or the frame's name."""
        try:
            frame = self.frame()
        except Ended:
            return "closed"
        return f"close {frame.code}" if frame.opcode == CLOSE else frames.NAMES[frame.opcode]
