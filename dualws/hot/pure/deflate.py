"""A short message compressed, or inflated, at once."""

from __future__ import annotations

import zlib

#: Ends what a flush gives; taken off each message, put back before inflating (RFC 7692 section
#: 7.2).
TAIL = b"\x00\x00\xff\xff"
#: An empty final block without compression: it means that, and nothing else, to an inflater
#: that stands between two blocks.
FINAL_BLOCK = b"\x01\x00\x00\xff\xff"
#: Inflated bytes that are worked on at a time.
OUTPUT = 64 * 1024
#: What zlib calls memLevel: 2**(it + 9) bytes for each compressor. More compresses hardly
#: better with small windows, and takes tens of times as long to set up.
MEMORY_LEVEL = 5


class Deflate:
    """Base of :class:`dualws.protocol.deflate.Deflate`."""

    __slots__ = ("_alone", "_begun", "_ours", "_theirs", "keeps_context", "level", "threshold")

    #: messages under this many bytes are not worth compressing
    threshold: int
    #: zlib's compression level, 1 (fast) to 9 (small)
    level: int
    #: whether messages must be compressed in the order in which they are sent
    keeps_context: bool
    #: whether those of the peer are compressed each for itself
    _alone: bool
    #: what zlib is told of either side's window
    _ours: int
    _theirs: int
    #: whether the message under way has data since its start, or since a final block
    _begun: bool

    def compress_short(self, payload: bytes) -> bytes | None:
        """A message's compressed payload, in one frame (section 7.2.1).

        :return: None when it goes the long way: it is long or empty, or a context is kept
        """
        if self.keeps_context or not payload:
            return None
        compressor = zlib.compressobj(self.level, zlib.DEFLATED, self._ours, MEMORY_LEVEL)
        return compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)[: -len(TAIL)]

    def inflate_short(self, data: bytes, room: int) -> bytes | None:
        """A whole short message at once, which is what nearly all are.

        :param data: all of its compressed payload
        :param room: largest size of the message in bytes
        :return: None when it is anything else, or wrong: ``inflate`` can still be asked
        """
        if self._begun or not data or not self._alone:
            return None
        inflater = zlib.decompressobj(self._theirs)
        size = min(OUTPUT, room) + 1
        try:
            message = inflater.decompress(data + TAIL, size)
            if len(message) == size or inflater.eof or inflater.decompress(FINAL_BLOCK, 1):
                return None
        except zlib.error:
            return None
        return message if inflater.eof and not inflater.unused_data else None
