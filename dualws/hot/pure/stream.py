"""The state of a stream that is looked at for each message, and the way of nearly all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualws.protocol.frames import BINARY, FIN, TEXT
from dualws.protocol.masking import unmask

if TYPE_CHECKING:
    from dualws.protocol.deflate import Deflate


class Stream:
    """Base of :class:`dualws.protocol.stream.Stream`."""

    __slots__ = (
        "_buffer",
        "_deflate",
        "_left",
        "_opcode",
        "_over",
        "discarding",
        "expect_masking",
        "max_size",
        "pending",
        "whole",
    )

    #: largest message in bytes
    max_size: int
    #: refuse unmasked frames
    expect_masking: bool
    #: whether there is more to parse without more data
    pending: bool
    #: whether messages of one frame may be taken without asking :meth:`feed`
    whole: bool
    #: set it when nobody wants messages any more: compressed ones are inflated no more
    discarding: bool
    #: permessage-deflate, when that was negotiated
    _deflate: Deflate | None
    #: received and not yet parsed
    _buffer: bytes
    #: bytes that a frame under way lacks
    _left: int
    #: TEXT, BINARY, or 0 between messages
    _opcode: int
    _over: bool

    def feed_one(self, data: bytes, size: int) -> str | bytes | None:
        """The message, when *data* is one whole short message and nothing is under way.

        :param size: of the message in bytes, if that is so: the header takes 6
        :return: None for everything else, which :meth:`feed` is to be given then; also for
            what is wrong
        """
        if (
            size < 0
            or size > 125
            or data[1] - 0x80 != size
            or self._opcode
            or self._buffer
            or not self.whole
            or size > self.max_size
            or self._over
            or not self.expect_masking
        ):
            return None
        first = data[0]
        if first == FIN | TEXT:
            try:
                return unmask(data[6:], data[2:6]).decode()
            except UnicodeDecodeError:
                return None
        return unmask(data[6:], data[2:6]) if first == FIN | BINARY else None
