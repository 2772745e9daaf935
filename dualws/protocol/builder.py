"""Building messages by ws4py's ``Stream`` interface: handlers written for ws4py hold one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ws4py.messaging import BinaryMessage, CloseControlMessage, TextMessage


class Builder:
    """What ws4py's handlers ask a stream for."""

    __slots__ = ()

    #: mask what is built, as a client must
    always_mask: bool

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
