"""Frames to messages in one pass over what was received (RFC 6455 sections 5 and 8.1).

Law: every byte is looked at once. A frame that lies whole in the received data becomes
its message with a single copy; a payload that comes in pieces is unmasked, validated
and stored piece by piece, so bad UTF-8 fails at its first byte and a large message
costs linear time. The first error ends the stream: nothing after it is parsed.

The stream also keeps ws4py's ``Stream`` interface for building messages, because
handlers written for ws4py hold one.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from dualws.protocol import frames
from dualws.protocol.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from dualws.protocol.masking import unmask

if TYPE_CHECKING:
    from ws4py.messaging import BinaryMessage, CloseControlMessage, TextMessage


class Ping(NamedTuple):
    """A ping that must be answered with a pong of the same data."""

    data: bytes


class Pong(NamedTuple):
    """A pong, asked for or not."""

    data: bytes


class Close(NamedTuple):
    """The peer's close frame; the stream is over. *code* is 1005 when there was none."""

    code: int
    reason: str


class Failure(NamedTuple):
    """The peer broke the protocol or a limit; the stream is over.

    The connection must be failed with this close code (RFC 6455 section 7.1.7).
    """

    code: int
    reason: str


#: A text message, a binary message, or something that the connection must act upon.
Event: TypeAlias = str | bytes | Ping | Pong | Close | Failure

_DECODER = codecs.getincrementaldecoder("utf-8")
_UNBOUNDED = 1 << 62


class _Failed(Exception):
    def __init__(self, code: int, reason: str) -> None:
        self.failure = Failure(code, reason)


class Stream:
    """The receiving side of one connection, and ws4py's way to build what is sent.

    :param max_size: largest message in bytes; a larger one fails with 1009
    :param expect_masking: refuse unmasked frames, as a server must (section 5.1)
    :param always_mask: mask what the ws4py interface builds, as a client must
    """

    __slots__ = (
        "_buffer",
        "_decoder",
        "_fin",
        "_key",
        "_left",
        "_opcode",
        "_over",
        "_parts",
        "_size",
        "always_mask",
        "expect_masking",
        "max_size",
        "pending",
    )

    def __init__(
        self,
        max_size: int = _UNBOUNDED,
        *,
        expect_masking: bool = True,
        always_mask: bool = False,
    ) -> None:
        self.max_size = max_size
        self.expect_masking = expect_masking
        self.always_mask = always_mask
        #: whether :meth:`feed` stopped at its limit: call it again with ``b""``
        self.pending = False
        self._buffer = b""  # received and not yet parsed
        self._over = False
        # the message under way
        self._opcode = 0  # TEXT, BINARY, or 0 between messages
        self._parts: list[str] | list[bytes] = []
        self._size = 0
        self._decoder: codecs.IncrementalDecoder | None = None
        # its frame under way, if the payload is not complete
        self._left = 0
        self._key = b""
        self._fin = False

    # -- receiving -----------------------------------------------------------------

    def feed(self, data: bytes, limit: int = _UNBOUNDED) -> list[Event]:
        """Parse what the peer sent.

        :param data: the bytes received; may begin and end anywhere in a frame
        :param limit: stop after this many events and set :attr:`pending`
        :return: what is complete, in order. Nothing follows a Close or Failure, and
            whatever is fed afterwards is dropped.
        """
        events: list[Event] = []
        if self._over:
            self.pending = False
            return events
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        try:
            rest = self._parse(data, limit, events)
        except _Failed as failed:
            events.append(failed.failure)
            self._end()
            return events
        if not self._over:
            self.pending = len(events) >= limit and rest < len(data)
            if rest < len(data):
                self._buffer = data[rest:]
        return events

    def _parse(self, data: bytes, limit: int, events: list[Event]) -> int:
        """Append the events of *data* and return where the unparsed rest begins."""
        end = len(data)
        position = 0
        if self._left:
            position = min(self._left, end)
            self._take(data[:position], events)
        masked = self.expect_masking
        while end - position >= 2 and len(events) < limit and not self._left:
            first = data[position]
            second = data[position + 1]
            size = second & 0x7F
            start = position + 2
            if size >= 126:
                start += 2 if size == 126 else 8
            if (second >= 0x80) is not masked:
                raise _Failed(
                    1002, "frames must be masked" if masked else "frames must not be masked"
                )
            self._check_first(first, size)
            if size >= 126:
                if start > end:
                    break
                size = self._extended(size, data[position + 2 : start])
            if masked:
                start += 4
            # The size is judged before any of the payload is waited for.
            opcode = first & 0x0F
            if opcode < 8 and self._size + size > self.max_size:
                raise _Failed(1009, f"message over {self.max_size} bytes")
            if start > end:
                break
            stop = start + size
            if stop <= end:
                payload = data[start:stop]
                if masked:
                    payload = unmask(payload, data[start - 4 : start])
                position = stop
                if opcode == TEXT and first & 0x80:
                    try:
                        events.append(payload.decode("utf-8"))
                    except UnicodeDecodeError:
                        raise _Failed(1007, "invalid UTF-8 in a text message") from None
                elif opcode == BINARY and first & 0x80:
                    events.append(payload)
                elif opcode >= 8:
                    self._control(opcode, payload, events)
                    if self._over:
                        break
                else:
                    self._begin_frame(opcode, size, first >= 0x80)
                    self._add(payload, events)
            elif opcode >= 8:
                break  # small, and of no use before it is whole
            else:
                self._begin_frame(opcode, size, first >= 0x80)
                self._left = size
                self._key = data[start - 4 : start] if masked else b""
                position = end
                self._take(data[start:], events)
        return position

    def _check_first(self, first: int, size: int) -> None:
        """The rules about a frame's first byte (sections 5.2, 5.4 and 5.5)."""
        if first & 0x70:
            raise _Failed(1002, "reserved bits are set")
        opcode = first & 0x0F
        if opcode in (TEXT, BINARY):
            if self._opcode:
                raise _Failed(1002, "a new message inside a fragmented one")
        elif opcode == CONTINUATION:
            if not self._opcode:
                raise _Failed(1002, "a continuation without a message")
        elif opcode not in (CLOSE, PING, PONG):
            raise _Failed(1002, f"reserved opcode {opcode}")
        elif first < 0x80:
            raise _Failed(1002, "a fragmented control frame")
        elif size > 125:
            raise _Failed(1002, "a control frame over 125 bytes")

    @staticmethod
    def _extended(marker: int, data: bytes) -> int:
        """The payload length in its longer forms (section 5.2)."""
        size = int.from_bytes(data, "big")
        if size >= 1 << 63:
            raise _Failed(1002, "a payload length of 2^63 or more")
        if size < (126 if marker == 126 else 0x10000):
            raise _Failed(1002, "a payload length that is not in its shortest form")
        return size

    def _begin_frame(self, opcode: int, size: int, fin: bool) -> None:
        if opcode != CONTINUATION:
            self._opcode = opcode
            self._parts = []
            if opcode == TEXT:
                self._decoder = _DECODER()
        self._fin = fin
        self._size += size

    def _take(self, piece: bytes, events: list[Event]) -> None:
        """A piece of a payload that is longer than what has come so far."""
        if self._key and piece:
            shift = len(piece) % 4
            piece = unmask(piece, self._key)
            self._key = self._key[shift:] + self._key[:shift]
        self._left -= len(piece)
        self._add(piece, events)

    def _add(self, payload: bytes, events: list[Event]) -> None:
        """Add payload to the message; emit it if this was its end."""
        final = self._fin and not self._left
        if self._decoder is not None:
            try:
                self._parts.append(self._decoder.decode(payload, final))  # type: ignore[arg-type]
            except UnicodeDecodeError:
                raise _Failed(1007, "invalid UTF-8 in a text message") from None
            # Python's decoder waits for the third byte of an encoded surrogate (ED A0..BF xx),
            # which the second one already gives away.
            rest = b"" if final else self._decoder.getstate()[0]
            if len(rest) == 2 and rest[0] == 0xED and rest[1] >= 0xA0:
                raise _Failed(1007, "invalid UTF-8 in a text message")
            if final:
                events.append("".join(self._parts))  # type: ignore[arg-type]
        else:
            self._parts.append(payload)  # type: ignore[arg-type]
            if final:
                events.append(b"".join(self._parts))  # type: ignore[arg-type]
        if final:
            self._opcode = 0
            self._parts = []
            self._size = 0
            self._decoder = None

    def _control(self, opcode: int, payload: bytes, events: list[Event]) -> None:
        if opcode == PING:
            events.append(Ping(payload))
        elif opcode == PONG:
            events.append(Pong(payload))
        else:
            events.append(self._close(payload))
            self._end()

    @staticmethod
    def _close(payload: bytes) -> Close:
        """Section 5.5.1, and the codes of section 7.4."""
        if not payload:
            return Close(1005, "")
        if len(payload) == 1:
            raise _Failed(1002, "a close frame of one byte")
        code = int.from_bytes(payload[:2], "big")
        if not frames.is_sendable(code):
            raise _Failed(1002, f"invalid close code {code}")
        try:
            return Close(code, payload[2:].decode("utf-8"))
        except UnicodeDecodeError:
            raise _Failed(1007, "invalid UTF-8 in a close reason") from None

    def _end(self) -> None:
        self._over = True
        self.pending = False
        self._buffer = b""
        self._parts = []
        self._decoder = None

    # -- ws4py's interface ---------------------------------------------------------

    def text_message(self, text: str | bytes) -> TextMessage:
        """A ws4py text message, ready to be built."""
        from ws4py.messaging import TextMessage

        return TextMessage(text=text)

    def binary_message(self, data: bytes) -> BinaryMessage:
        """A ws4py binary message, ready to be built."""
        from ws4py.messaging import BinaryMessage

        return BinaryMessage(data)

    def close(self, code: int = 1000, reason: str | bytes = "") -> CloseControlMessage:
        """A ws4py close message, ready to be built."""
        from ws4py.messaging import CloseControlMessage

        return CloseControlMessage(code=code, reason=reason)

    def ping(self, data: str | bytes = "") -> bytes:
        """The bytes of a ping frame."""
        from ws4py.messaging import PingControlMessage

        frame: bytes = PingControlMessage(data).single(mask=self.always_mask)
        return frame

    def pong(self, data: str | bytes = "") -> bytes:
        """The bytes of a pong frame."""
        from ws4py.messaging import PongControlMessage

        frame: bytes = PongControlMessage(data).single(mask=self.always_mask)
        return frame
