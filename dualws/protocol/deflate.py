"""permessage-deflate (RFC 7692): agreeing on it, compressing, inflating.

Law: memory is held only where both sides agreed to keep the context. Without context
takeover a compressor and an inflater live for one message, or belong to the process
(:mod:`dualws.hot`), so an idle connection holds neither. Inflating never produces more than
the caller has room for, and one byte: the caller sees that a message is too large before it
costs more than the limit.
"""

from __future__ import annotations

import dataclasses
import sys
import zlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from dualws import hot
from dualws.hot.pure.deflate import FINAL_BLOCK, MEMORY_LEVEL, OUTPUT, TAIL
from dualws.protocol import frames
from dualws.protocol.extensions import Extension

if TYPE_CHECKING:
    from dualws.config import ServerConfig

NAME = "permessage-deflate"

#: Compressed bytes that are worked on at a time: zlib hands back a copy of what it did not use.
_INPUT = 8 * 1024
#: zlib makes no raw streams with a window of 256 bytes. With one of 512 it never looks back
#: further than 512 - 262 = 250 bytes, which an inflater of 256 follows.
_LEAST_ZLIB_BITS = 9


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What both sides hold to (section 7.1).

    :param server_no_context_takeover: our messages are compressed each for itself
    :param client_no_context_takeover: the client's messages are
    :param server_max_window_bits: base-2 logarithm of our window, 8 to 15
    :param client_max_window_bits: of the client's window; None when the client cannot
        choose it, and may use 15
    """

    server_no_context_takeover: bool
    client_no_context_takeover: bool
    server_max_window_bits: int
    client_max_window_bits: int | None

    def __str__(self) -> str:
        """The Sec-WebSocket-Extensions header of the response."""
        parts = [NAME]
        if self.server_no_context_takeover:
            parts.append("server_no_context_takeover")
        if self.client_no_context_takeover:
            parts.append("client_no_context_takeover")
        if self.server_max_window_bits < 15:
            parts.append(f"server_max_window_bits={self.server_max_window_bits}")
        if self.client_max_window_bits is not None:
            parts.append(f"client_max_window_bits={self.client_max_window_bits}")
        return "; ".join(parts)


def negotiate(
    offers: Iterable[Extension], *, window_bits: int = 12, context_takeover: bool = False
) -> Agreement | None:
    """Accept the first offer that can be accepted (section 5.1).

    :param offers: what the client offers; other extensions are passed over
    :param window_bits: base-2 logarithm of the largest window for either side, 8 to 15
    :param context_takeover: let both sides keep their window from message to message,
        where the client does not ask for the opposite
    :return: None when there is no offer, or none without unknown, double or wrong
        parameters (section 7.1)
    """
    for offer in offers:
        asked = _asked(offer) if offer.name == NAME else None
        if asked is None:
            continue
        client_bits = None
        if "client_max_window_bits" in asked:
            client_bits = min(window_bits, asked["client_max_window_bits"])
        return Agreement(
            server_no_context_takeover=(
                not context_takeover or "server_no_context_takeover" in asked
            ),
            client_no_context_takeover=(
                not context_takeover or "client_no_context_takeover" in asked
            ),
            server_max_window_bits=min(window_bits, asked.get("server_max_window_bits", 15)),
            client_max_window_bits=client_bits,
        )
    return None


def _asked(offer: Extension) -> dict[str, int] | None:
    """The parameters of an offer; None when it must be declined."""
    asked: dict[str, int] = {}
    for name, value in offer.parameters:
        if name in asked:
            return None
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            if value is not None:
                return None
            asked[name] = 1
        elif name in ("server_max_window_bits", "client_max_window_bits"):
            if value is None and name == "client_max_window_bits":
                value = "15"
            # Strings, because int() would also take "+9", "0_9" and "09".
            if value not in _WINDOW_BITS:
                return None
            asked[name] = int(value)
        else:
            return None
    return asked


_WINDOW_BITS = frozenset(map(str, range(8, 16)))


class InvalidData(Exception):
    """What the peer calls compressed is not (RFC 1951), or ends in the middle."""


class Deflate(hot.Deflate):
    """Both directions of one connection.

    Compressing and inflating are independent of each other; each may be used by one
    thread at a time. Without :attr:`keeps_context` compressing is free of state.

    :param agreement: what was negotiated
    :param threshold: messages under this many bytes are not worth compressing
    :param level: zlib's compression level, 1 (fast) to 9 (small)
    """

    __slots__ = ("_compressor", "_inflater", "agreement")

    def __init__(self, agreement: Agreement, threshold: int = 1024, level: int = 6) -> None:
        self.agreement = agreement
        self.threshold = min(threshold, sys.maxsize)
        self.level = level
        self._ours = -max(agreement.server_max_window_bits, _LEAST_ZLIB_BITS)
        self._theirs = -(agreement.client_max_window_bits or 15)
        self._alone = agreement.client_no_context_takeover
        self.keeps_context = not agreement.server_no_context_takeover
        self._compressor: zlib._Compress | None = None
        self._inflater: zlib._Decompress | None = None
        self._begun = False

    # -- sending -------------------------------------------------------------------

    def frame(self, opcode: int, payload: bytes, *, always: bool = False) -> bytes:
        """The frame of a whole compressed message (section 7.2.1).

        :param opcode: TEXT or BINARY
        :param payload: the message
        :param always: compress it even if it becomes no smaller. With context takeover
            it is compressed in any case.
        """
        data = self.compress_short(payload)
        if data is None:
            data = self._compress(payload)
        if len(data) >= len(payload) > 0 and not always and not self.keeps_context:
            return frames.build(opcode, payload)
        return frames.header(opcode, len(data), rsv1=True) + data

    def _compress(self, payload: bytes) -> bytes:
        compressor = self.compressor()
        if not payload:
            # Of nothing, zlib makes nothing at all; section 7.2.3.6 wants an empty block.
            return b"\x00"
        start = compressor.compress(payload)
        return start + compressor.flush(zlib.Z_SYNC_FLUSH)[: -len(TAIL)]

    def compressor(self) -> zlib._Compress:
        """What compresses the next message: one of its own, or the one that keeps its context."""
        compressor = self._compressor
        if compressor is None:
            compressor = zlib.compressobj(self.level, zlib.DEFLATED, self._ours, MEMORY_LEVEL)
            if self.keeps_context:
                self._compressor = compressor
        return compressor

    @staticmethod
    def piece(compressor: zlib._Compress, payload: bytes, *, last: bool) -> bytes:
        """The payload of one frame of a fragmented message (section 7.2.1).

        :param compressor: what :meth:`compressor` gave for the message
        :param payload: a chunk of the message, may be empty
        :param last: whether the message ends with it
        """
        data = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
        if not last:
            return data
        # A flush of nothing new gives nothing, or a block without the tail's own bytes.
        return data[: -len(TAIL)] if data.endswith(TAIL) else data + b"\x00"

    # -- receiving -----------------------------------------------------------------

    def inflate(self, data: bytes, room: int, final: bool) -> Iterator[bytes]:
        """Inflate more of the message under way (section 7.2.2).

        Stop at once when the sum of the pieces passes *room*: it is passed by one byte.

        :param data: compressed payload, of any length
        :param room: bytes that the message may still grow by
        :param final: whether the message ends with *data*
        :return: pieces of at most 64 KiB, none empty
        :raises InvalidData: this is no compressed data; pieces before it have been given
        """
        try:
            for start in range(0, len(data), _INPUT):
                for piece in self._inflate(data[start : start + _INPUT], room):
                    room -= len(piece)
                    yield piece
            if final:
                yield from self._finish(room)
        except zlib.error as error:
            raise InvalidData(str(error)) from None

    def _inflate(self, data: bytes, room: int) -> Iterator[bytes]:
        full = False
        self._begun = self._begun or bool(data)
        while data or full:
            inflater = self._inflater
            if inflater is None:
                inflater = self._inflater = zlib.decompressobj(self._theirs)
            size = min(OUTPUT, max(room, 0) + 1)  # 0 would mean: without end
            piece = inflater.decompress(data, size)
            full = len(piece) == size  # zlib may hold back more, with no input left over
            data = inflater.unconsumed_tail
            if inflater.eof:
                # A final block (section 7.2.3.4): what follows is a stream of its own.
                self._inflater = None
                full = False
                data = inflater.unused_data
                self._begun = bool(data)
            if piece:
                room -= len(piece)
                yield piece

    def _finish(self, room: int) -> Iterator[bytes]:
        """End the message. Nothing is put back after a final block, nor after no data."""
        if not self._begun:
            return
        for piece in self._inflate(TAIL, room):
            room -= len(piece)
            yield piece
        inflater = self._inflater
        if inflater is not None:
            if self._alone:
                self._inflater = None
            else:
                inflater = inflater.copy()
            if inflater.decompress(FINAL_BLOCK, 1) or not inflater.eof or inflater.unused_data:
                raise InvalidData("the compressed data ends in the middle of a block")
        self._begun = False


def agree(offers: Iterable[Extension], config: ServerConfig) -> Deflate | None:
    """Accept one of the client's *offers* as *config* wants it; None without one to accept."""
    agreement = negotiate(
        offers,
        window_bits=config.compression_window_bits,
        context_takeover=config.compression_context_takeover,
    )
    return None if agreement is None else Deflate(agreement, config.compression_threshold)
