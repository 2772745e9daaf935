"""The stream of one accepted connection that speaks TLS.

Law: *what Tornado counts is plaintext*. It hears that bytes are written once their records
have left for the kernel, so what waits for a slow client is counted like everything else.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import TYPE_CHECKING

from dualws.contract import ServerConfig
from dualws_tornado.stream import Refuse, Stream

if TYPE_CHECKING:
    from dualws.tls.engine import Engine

#: Most that is received, or encrypted, at a time.
_PIECE = 64 * 1024


def make_stream(
    sock: socket.socket, config: ServerConfig, refuse: Refuse, engine: Engine | None
) -> Stream:
    """The stream of a connection that was greeted."""
    if engine is None:
        return Stream(sock, config, refuse)
    return TlsStream(sock, config, refuse, engine)


class TlsStream(Stream):
    """A stream with TLS between Tornado and the socket.

    :param sock: the accepted socket
    :param config: the server's configuration
    :param refuse: as for :class:`Stream`
    :param engine: its TLS, after the handshake
    """

    engine: Engine

    def __init__(
        self, sock: socket.socket, config: ServerConfig, refuse: Refuse, engine: Engine
    ) -> None:
        super().__init__(sock, config, refuse)
        self.engine = engine
        # Together with the end of the handshake the first request may have come.
        self._plain = bytearray(engine.read())
        #: records that the socket has not taken yet, and how much plaintext they are
        self._records = bytearray(engine.outgoing())
        self._in_records = 0
        self._released = False

    def _receive(self, buf: bytearray | memoryview) -> int | None:
        if not self._plain:
            if self.engine.ended:
                return 0
            try:
                data = self.socket.recv(_PIECE)
            except BlockingIOError:
                return None
            if not data:
                return 0
            self.engine.feed(data)
            try:
                self._plain += self.engine.read()
            except ssl.SSLError:
                # Somebody has changed what the client sent, or it is broken: it has ended, also
                # for who looks again when the answer that is due has gone out.
                self.engine.ended = True
                return 0
            finally:
                self._records += self.engine.outgoing()
            if not self._plain:
                return 0 if self.engine.ended else None
        size = min(len(buf), len(self._plain))
        buf[:size] = self._plain[:size]
        del self._plain[:size]
        return size

    def write_to_fd(self, data: memoryview) -> int:
        """Send some of *data*: how much of it has left; 0 when the socket takes no more."""
        try:
            if not self._in_records:
                piece = data[:_PIECE]
                self.engine.write(piece)
                self._in_records = len(piece)
                del piece
                self._records += self.engine.outgoing()
            while self._records:
                sent = self.socket.send(self._records)
                del self._records[:sent]
            size, self._in_records = self._in_records, 0
            return size
        finally:
            # A view of Tornado's buffer, which it could not change while the view lives.
            del data

    def _refuse_with(self, status: str) -> None:
        super()._refuse_with(status)
        # From here on the refusal speaks TLS on this connection.
        self._released = True

    def release(self, *, watched: bool = False) -> tuple[socket.socket, bytes]:
        """Give up the socket, and what the client has sent, decrypted."""
        self._released = True
        sock, early = super().release()
        self.engine.put_back(bytes(self._records))
        return sock, early + bytes(self._plain)

    def close_fd(self) -> None:
        """Tell the client, as far as that goes without waiting, and close."""
        if not self._released and not self._in_records:
            self.engine.close()
            self._records += self.engine.outgoing()
            # OSError: it is full, or the client has gone.
            with contextlib.suppress(OSError):
                self.socket.send(self._records)
        super().close_fd()
