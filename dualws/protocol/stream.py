"""Frames to messages in one pass over what was received (RFC 6455 sections 5 and 8.1).

Law: every byte is looked at once. A frame that lies whole in the received data becomes
its message with a single copy; a payload that comes in pieces is unmasked, validated
and stored piece by piece, so bad UTF-8 fails at its first byte and a large message
costs linear time. A compressed message (RFC 7692) is inflated as it comes, and never past
the size limit. The first error ends the stream: nothing after it is parsed.

"""

from __future__ import annotations

import codecs
import sys
from typing import Any, NamedTuple, TypeAlias

from dualws import hot
from dualws.protocol import frames
from dualws.protocol.builder import Builder
from dualws.protocol.deflate import Deflate, InvalidData
from dualws.protocol.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from dualws.protocol.masking import unmask, unmask_slice


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
#: Bytes inflated before others get a turn: 64 KiB from the network may hold 64 MiB.
_INFLATE_TURN = 256 * 1024
#: Compressed bytes of a message that is inflated at once.
_SHORT_COMPRESSED = 8 * 1024
#: Bytes of a fragment that is taken without further ado.
_SHORT_FRAGMENT = 4 * 1024
#: Pieces of a message that are kept apart: a peer may send it two bytes at a time.
_JOIN = 256
_FIN = 0x80
_RSV1 = 0x40
_RESERVED = 0x70
#: first byte of a message of one frame, neither fragmented nor compressed
_WHOLE_TEXT = _FIN | TEXT
_WHOLE_BINARY = _FIN | BINARY
_WHOLE = frozenset({_WHOLE_TEXT, _WHOLE_BINARY})
#: the same, compressed
_COMPRESSED = frozenset({_WHOLE_TEXT | _RSV1, _WHOLE_BINARY | _RSV1})


class _Failed(Exception):
    def __init__(self, code: int, reason: str) -> None:
        self.failure = Failure(code, reason)


def _invalid_text() -> _Failed:
    return _Failed(1007, "invalid UTF-8 in a text message")


class Stream(hot.Stream, Builder):
    """The receiving side of one connection, and ws4py's way to build what is sent.

    :param max_size: largest message in bytes, after inflating; a larger one fails with 1009
    :param deflate: permessage-deflate, when that was negotiated; else RSV1 is an error
    :param expect_masking: refuse unmasked frames, as a server must (section 5.1)
    :param always_mask: mask what the ws4py interface builds, as a client must
    """

    __slots__ = (
        "_compressed",
        "_decoder",
        "_fin",
        "_incomplete",
        "_inflated",
        "_joined",
        "_key",
        "_parts",
        "_short",
        "_size",
        "always_mask",
        "only_messages",
    )

    def __init__(
        self,
        max_size: int = _UNBOUNDED,
        *,
        deflate: Deflate | None = None,
        expect_masking: bool = True,
        always_mask: bool = False,
    ) -> None:
        self.max_size = min(max_size, sys.maxsize)
        self.expect_masking = expect_masking
        self.always_mask = always_mask
        #: whether :meth:`feed` stopped at its limit: call it again with ``b""``
        self.pending = False
        #: whether messages of one frame may be taken without asking :meth:`feed`
        self.whole = True
        #: whether what :meth:`feed` returned last is messages and nothing else
        self.only_messages = True
        self._deflate = deflate
        #: largest second byte of a frame that is short, masked, and within the limit
        self._short = 0x80 + min(125, max_size) if expect_masking else 0
        self.discarding = False
        self._inflated = 0  # bytes, since feed() was called
        self._buffer = b""  # received and not yet parsed
        self._over = False
        # the message under way
        self._opcode = 0  # TEXT, BINARY, or 0 between messages
        self._compressed = False
        self._parts: list[Any] = []  # all of them str, or all bytes
        self._joined = 0  # how many of them are not to be joined again
        self._size = 0
        self._decoder: codecs.IncrementalDecoder | None = None
        self._incomplete = False  # a character of it
        # its frame under way, if the payload is not complete
        self._left = 0
        self._key = b""
        self._fin = False

    @property
    def held(self) -> int:
        """Bytes that were received and given to nobody yet."""
        return self._size + len(self._buffer)

    @property
    def missing(self) -> int:
        """Bytes that have not come of the payload under way."""
        return self._left

    # -- receiving -----------------------------------------------------------------

    def feed(self, data: bytes, limit: int = _UNBOUNDED) -> list[Event]:
        """Parse what the peer sent, or as much of it as is one peer's turn.

        :param data: the bytes received; may begin and end anywhere in a frame
        :param limit: stop after this many events, or 256 KiB of inflated messages, and
            set :attr:`pending`
        :return: what is complete, in order. Nothing follows a Close or Failure, and
            whatever is fed afterwards is dropped.
        """
        events: list[Event] = []
        self.only_messages = True
        if self._over:
            self.pending = False
            return events
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        self._inflated = 0
        try:
            rest = self._parse(data, limit, events)
        except _Failed as failed:
            return self._fail(failed, events)
        except UnicodeDecodeError:
            return self._fail(_invalid_text(), events)
        if not self._over:
            full = len(events) >= limit or self._inflated >= _INFLATE_TURN
            self.pending = full and rest < len(data)
            if rest < len(data):
                self._buffer = data[rest:]
        return events

    def _fail(self, failed: _Failed, events: list[Event]) -> list[Event]:
        events.append(failed.failure)
        self.only_messages = False
        self._end()
        return events

    def _parse(self, data: bytes, limit: int, events: list[Event]) -> int:
        """Append the events of *data* and return where the unparsed rest begins."""
        end = len(data)
        position = 0
        if self._left:
            position = min(self._left, end)
            self._take(data[:position], events)
            if self._inflated >= _INFLATE_TURN:
                return position
        short = self._short
        while end - position >= 2 and len(events) < limit and not self._left:
            first = data[position]
            second = data[position + 1]
            if first in _WHOLE and 0x80 <= second <= short and not self._opcode:
                # What nearly all messages are; every line counts.
                start = position + 6
                stop = start + second - 0x80
                if stop <= end:
                    payload = unmask(data[start:stop], data[start - 4 : start])
                    events.append(payload.decode() if first == _WHOLE_TEXT else payload)
                    position = stop
                    continue
            if not first & 0x7F and self._opcode and short and not self._compressed:
                stop = self._fragments(data, position, events)
                if stop != position:
                    position = stop
                    continue
            stop = self._frame(data, position, events)
            if stop == position:
                break
            position = stop
            if self._over or self._inflated >= _INFLATE_TURN:
                break
        return position

    def _fragments(self, data: bytes, position: int, events: list[Event]) -> int:
        """Take the short fragments that lie here whole, of a message that is not compressed.

        :return: where something else begins, or a fragment that is to be looked at with care
        """
        end = len(data)
        binary = self._decoder is None
        parts = self._parts
        while end - position >= 6:
            first = data[position]
            size = data[position + 1] - 0x80
            start = position + 6
            if size == 126:
                size = data[position + 2] << 8 | data[position + 3]
                start += 2
                if not 126 <= size <= _SHORT_FRAGMENT:
                    break
            elif not 0 <= size < 126:
                break
            stop = start + size
            if first & 0x7F or stop > end or self._size + size > self.max_size:
                break
            piece = unmask(data[start:stop], data[start - 4 : start])
            position = stop
            if first or not (binary or (piece.isascii() and not self._incomplete)):
                self._fin = first >= _FIN
                self._add(piece, events)
                if first:
                    break
            elif piece:  # as _store()
                self._size += size
                parts.append(piece if binary else piece.decode("ascii"))
                if len(parts) - self._joined >= _JOIN:
                    self._join()
        return position

    def _frame(self, data: bytes, position: int, events: list[Event]) -> int:
        """Parse a frame of any form; return its end, or *position* when too little is there."""
        end = len(data)
        first = data[position]
        second = data[position + 1]
        masked = self.expect_masking
        if (second >= 0x80) is not masked:
            raise _Failed(1002, "frames must be masked" if masked else "frames must not be masked")
        size = second & 0x7F
        self._check_first(first, size)
        start = position + 2
        if size >= 126:
            start += 2 if size == 126 else 8
            if start > end:
                return position
            size = self._extended(size, data[position + 2 : start])
        if masked:
            start += 4
        # The size is judged before any of the payload is waited for; of a compressed
        # message it is only known when that is inflated.
        opcode = first & 0x0F
        if opcode < 8 and self._size + size > self.max_size and not self._is_compressed(first):
            raise self._too_big()
        if start > end:
            return position
        key = data[start - 4 : start] if masked else b""
        stop = start + size
        if stop > end:
            if opcode >= 8:
                return position  # small, and of no use before it is whole
            self._begin_frame(first)
            self._left = size
            self._key = key
            self._take(data[start:], events)
            return end
        payload = unmask_slice(data, start, stop, key) if masked else data[start:stop]
        if first == _WHOLE_BINARY:
            events.append(payload)
        elif first == _WHOLE_TEXT:
            events.append(payload.decode())
        elif opcode >= 8:
            self._control(opcode, payload, events)
        elif first not in _COMPRESSED or not self._inflate_short(first, payload, events):
            self._begin_frame(first)
            self._add(payload, events)
        return stop

    def _check_first(self, first: int, size: int) -> None:
        """The rules about a frame's first byte (sections 5.2, 5.4 and 5.5)."""
        opcode = first & 0x0F
        # RSV1 belongs to permessage-deflate, on a message's first frame (RFC 7692 section 6).
        if first & _RESERVED and (
            self._deflate is None or first & _RESERVED != _RSV1 or opcode not in (TEXT, BINARY)
        ):
            raise _Failed(1002, "reserved bits are set")
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

    def _is_compressed(self, first: int) -> bool:
        """Whether the frame with this first byte is part of a compressed message."""
        return bool(first & _RSV1) or (self._compressed and not first & 0x0F)

    def _too_big(self) -> _Failed:
        return _Failed(1009, f"message over {self.max_size} bytes")

    def _begin_frame(self, first: int) -> None:
        opcode = first & 0x0F
        if opcode != CONTINUATION:
            self._opcode = opcode
            self._compressed = bool(first & _RSV1)
            self._parts = []
            self._joined = 0
            if opcode == TEXT:
                self._decoder = _DECODER()
                self._incomplete = False
        self._fin = first >= _FIN

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
        if self._compressed:
            self._inflate(payload, final)
            payload = b""
        self._store(payload, final)
        if final:
            empty = "" if self._decoder is not None else b""
            events.append(empty.join(self._parts))
            self._opcode = 0
            self._parts = []
            self._size = 0
            self._decoder = None

    def _store(self, data: bytes, final: bool) -> None:
        """Keep a piece of the message, found to be UTF-8 so far if it is text."""
        self._size += len(data)
        part: str | bytes = data
        if self._decoder is None:
            pass
        elif data.isascii() and not self._incomplete:
            part = data.decode("ascii")
        else:
            try:
                part = self._decoder.decode(data, final)
            except UnicodeDecodeError:
                raise _invalid_text() from None
            # Python's decoder waits for the third byte of an encoded surrogate (ED A0..BF xx),
            # which the second one already gives away.
            rest = b"" if final else self._decoder.getstate()[0]
            if len(rest) == 2 and rest[0] == 0xED and rest[1] >= 0xA0:
                raise _invalid_text()
            self._incomplete = bool(rest)
        if part:  # frames without payload count for nothing, and may be without end
            self._parts.append(part)
            if len(self._parts) - self._joined >= _JOIN:
                self._join()

    def _join(self) -> None:
        """Make the last pieces one: alone, each takes many times the memory of a few bytes."""
        parts = self._parts
        empty = "" if self._decoder is not None else b""
        parts[self._joined :] = [empty.join(parts[self._joined :])]
        self._joined += 1

    def _inflate_short(self, first: int, payload: bytes, events: list[Event]) -> bool:
        """The message of one compressed frame; False when it must be inflated with care."""
        if self.discarding or self._deflate is None or len(payload) > _SHORT_COMPRESSED:
            return False
        message = self._deflate.inflate_short(payload, self.max_size)
        if message is None:
            return False
        self._inflated += len(message)
        events.append(message.decode() if first & 0x0F == TEXT else message)
        return True

    def _inflate(self, data: bytes, final: bool) -> None:
        """Keep what compressed payload holds (RFC 7692 section 6.2)."""
        assert self._deflate is not None
        if self.discarding:
            return
        room = self.max_size - self._size
        try:
            for piece in self._deflate.inflate(data, room, final):
                room -= len(piece)
                self._inflated += len(piece)
                # What was within the limit is judged before the limit is.
                self._store(piece if room >= 0 else piece[:room], False)
                if room < 0:
                    raise self._too_big()
        except InvalidData:
            raise _Failed(1007, "invalid compressed data") from None

    def _control(self, opcode: int, payload: bytes, events: list[Event]) -> None:
        self.only_messages = False
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
        self._left = 0
        self._buffer = b""
        self._parts = []
        self._decoder = None
