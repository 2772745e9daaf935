"""What is sent: from the handler's data to a frame, compressed or not.

Law: a message is framed by the code that sends it, outside every lock. Only where the
window of the compressor is kept from message to message must a message be compressed
in its turn: then it stays an :class:`InOrder` until the connection sends it.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias, final

from dualws.protocol import frames
from dualws.protocol.deflate import Deflate

Data: TypeAlias = str | bytes | bytearray | memoryview


@final
class InOrder(NamedTuple):
    """A message that is compressed when it is its turn."""

    opcode: int
    payload: bytes


#: What a connection sends.
Outgoing: TypeAlias = bytes | InOrder


def message_frame(
    data: Data,
    binary: bool | None = None,
    compress: bool | None = None,
    deflate: Deflate | None = None,
) -> Outgoing:
    """The frame of one message.

    :param data: ``str`` as text, bytes-like data as binary
    :param binary: overrides that
    :param compress: True and False override the threshold
    :param deflate: the connection's compression; None where there is none
    :raises TypeError: *data* is neither
    """
    if deflate is None and type(data) is str and not binary:
        return frames.build(frames.TEXT, data.encode())
    if isinstance(data, str):
        opcode = frames.BINARY if binary else frames.TEXT
        payload = data.encode("utf-8")
    elif isinstance(data, bytes | bytearray | memoryview):
        opcode = frames.TEXT if binary is False else frames.BINARY
        payload = bytes(data)
    else:
        raise TypeError(
            f"send() takes str or bytes, or an iterator of them, not {type(data).__name__}: "
            "convert it first, or use send_json()"
        )
    if deflate is None or not (len(payload) >= deflate.threshold if compress is None else compress):
        return frames.build(opcode, payload)
    if deflate.keeps_context:
        return InOrder(opcode, payload)
    return deflate.frame(opcode, payload, always=compress is True)


class Broadcast:
    """One message for many connections: framed, and compressed, once for all that agree.

    :param data: ``str`` as text, bytes-like data as binary
    :raises TypeError: *data* is neither
    """

    def __init__(self, data: Data) -> None:
        self._data = data
        #: the frame for those without compression
        self.plain = message_frame(data)
        self._compressed: dict[int, Outgoing] = {}

    def frame_for(self, deflate: Deflate | None) -> Outgoing:
        """The frame for a connection.

        :param deflate: the connection's compression; None where there is none
        """
        if deflate is None:
            return self.plain
        if deflate.keeps_context:
            return message_frame(self._data, deflate=deflate)
        bits = deflate.agreement.server_max_window_bits
        frame = self._compressed.get(bits)
        if frame is None:
            frame = self._compressed[bits] = message_frame(self._data, deflate=deflate)
        return frame
