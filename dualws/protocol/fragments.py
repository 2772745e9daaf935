"""A message that goes out in fragments (RFC 6455 section 5.4), compressed or not.

Law: *each chunk is a frame, and only the last has FIN*. That a chunk is the last is known when
there is no other, so each is kept until the next one has come.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable, Iterable, Iterator
from typing import TypeAlias

from dualws.protocol import frames
from dualws.protocol.deflate import Deflate
from dualws.protocol.outgoing import Data

#: What a chunk of a message may be; all chunks of one message are text, or none is.
Chunks: TypeAlias = Iterator[str] | Iterator[bytes | bytearray | memoryview]
#: The same for coroutines, which may also wait for the next chunk.
AsyncChunks: TypeAlias = Chunks | AsyncIterable[str] | AsyncIterable[bytes | bytearray | memoryview]


class Fragments:
    """Makes the frames of one message. :meth:`last` ends it, also when there was no chunk.

    :param binary: True for binary, False for text; None: as the first chunk is
    :param compress: True and False override the threshold, which is compared with the first
        chunk because the message's size is not known before its end
    :param deflate: the connection's compression; None where there is none. While the message
        is under way nothing else may be compressed where a context is kept.
    """

    def __init__(self, binary: bool | None, compress: bool | None, deflate: Deflate | None) -> None:
        self._binary = binary
        self._compress = compress
        self._deflate = deflate
        self._compressor: zlib._Compress | None = None
        self._text: bool | None = None
        self._waiting: bytes | None = None
        self._begun = False

    def add(self, chunk: Data) -> bytes | None:
        """Take the next chunk.

        :return: the frame of the chunk before it; None for the first
        :raises TypeError: it is neither text nor bytes, or not as the first chunk was
        """
        if not isinstance(chunk, str | bytes | bytearray | memoryview):
            raise TypeError(
                f"a chunk of a message is str or bytes, not {type(chunk).__name__}: convert it "
                "first, for instance with json.dumps()"
            )
        text = isinstance(chunk, str)
        if self._text is None:
            self._text = text
        elif text is not self._text:
            raise TypeError(
                f"a chunk of a message is {type(chunk).__name__}, but its first chunk was "
                f"{'text' if self._text else 'bytes'}: one message is all text or all bytes"
            )
        payload = chunk.encode("utf-8") if isinstance(chunk, str) else bytes(chunk)
        before, self._waiting = self._waiting, payload
        if before is None:
            self._choose(payload)
            return None
        return self._frame(before, fin=False)

    def last(self) -> bytes:
        """The frame of the last chunk."""
        payload, self._waiting = self._waiting, None
        return self._frame(payload or b"", fin=True)

    def _choose(self, first: bytes) -> None:
        deflate = self._deflate
        if deflate is None:
            return
        if len(first) >= deflate.threshold if self._compress is None else self._compress:
            self._compressor = deflate.compressor()

    def _frame(self, payload: bytes, *, fin: bool) -> bytes:
        opcode = frames.CONTINUATION
        rsv1 = False
        if not self._begun:
            self._begun = True
            binary = self._text is False if self._binary is None else self._binary
            opcode = frames.BINARY if binary else frames.TEXT
            rsv1 = self._compressor is not None
        if self._compressor is not None:
            assert self._deflate is not None
            payload = self._deflate.piece(self._compressor, payload, last=fin)
        return frames.header(opcode, len(payload), fin, rsv1) + payload


def frames_of(
    chunks: Iterable[Data], binary: bool | None, compress: bool | None, deflate: Deflate | None
) -> Iterator[bytes]:
    """The frames of a message whose chunks come from a blocking iterator.

    :raises TypeError: a chunk is neither text nor bytes, or not as the first one was
    """
    fragments = Fragments(binary, compress, deflate)
    for chunk in chunks:
        frame = fragments.add(chunk)
        if frame is not None:
            yield frame
    yield fragments.last()
