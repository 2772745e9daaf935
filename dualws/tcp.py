"""What the operating system knows of a TCP connection that nothing is read from.

Law: *looking takes nothing*: not a byte is read, so what the peer sent before it left is still
there for a handler that comes for it.
"""

from __future__ import annotations

import socket
import struct
from typing import Protocol

#: States of ``struct tcp_info`` (Linux): reset, and FIN received.
_CLOSE, _CLOSE_WAIT = 7, 8
#: Eight bytes, the first is the state, and 13 counters: the fifth is what is not acknowledged,
#: the last the milliseconds since the last acknowledgement.
_TCP_INFO = struct.Struct("=B7x13I")
#: The same up to the bytes that the peer has acknowledged since the connection began.
_TCP_INFO_BYTES = struct.Struct("=120xQ")


class HasOptions(Protocol):
    """A socket of any library."""

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes: ...


def departure(sock: HasOptions, silence: float) -> str:
    """Why the peer counts as gone; empty while it does not, or where the system does not tell.

    :param silence: seconds without an acknowledgement of what was sent to it
    """
    info = _info(sock, _TCP_INFO)
    if info is None:
        return ""
    state, *counters = info
    if state in (_CLOSE, _CLOSE_WAIT):
        return "the peer closed the connection without a close frame"
    if counters[4] and counters[12] > silence * 1000:
        return f"the peer acknowledged nothing for {counters[12] / 1000:.0f} s"
    return ""


def acknowledged(sock: HasOptions) -> int:
    """Bytes that the peer has taken since the connection began; -1 where the system does not tell.

    The system's own buffer holds megabytes, and reports room only when a good part of it is empty:
    what a slow reader takes is seen here.
    """
    info = _info(sock, _TCP_INFO_BYTES)
    return -1 if info is None else int(info[0])


def _info(sock: HasOptions, layout: struct.Struct) -> tuple[int, ...] | None:
    """The beginning of ``tcp_info``; None where the system does not tell."""
    option = getattr(socket, "TCP_INFO", None)
    if option is None:
        return None
    try:
        data = sock.getsockopt(socket.IPPROTO_TCP, option, layout.size)
    except OSError:  # a unix socket: writing to it fails at once when the peer has gone
        return None
    return layout.unpack(data) if len(data) == layout.size else None
