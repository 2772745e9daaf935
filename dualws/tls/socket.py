"""A blocking socket with TLS: for a backend that speaks HTTP on one, and for code that wants one.

Law: *it blocks exactly what the socket beneath blocks*: this greenlet, or this thread. One
thread may read while another writes.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import Any

from dualws.contract import Lock
from dualws.tls.engine import Engine

_PIECE = 64 * 1024


class TlsSocket:
    """As much of a connected socket as servers and websocket libraries use.

    :param sock: the connection, with blocking calls
    :param engine: its TLS, after the handshake
    :param lock: a native mutex
    """

    def __init__(self, sock: socket.socket, engine: Engine, lock: Lock) -> None:
        self.sock = sock
        self.engine = engine
        self._lock = lock
        self._plain = bytearray(engine.read())
        #: records that are made and not sent: a send that ran into its timeout
        self._unsent = bytearray()
        #: how much of the data of such a send was made into records
        self._begun = 0
        # Not a native mutex: it is held while a slow peer is waited for.
        self._sending = threading.Lock()

    # -- receiving -----------------------------------------------------------------

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Between one and *size* bytes; none once the peer has said that it is done.

        ``MSG_PEEK`` is honoured, other *flags* are not.

        :raises ConnectionError: what came is not TLS
        """
        while not self._plain and not self.engine.ended:
            data = self.sock.recv(_PIECE)
            if not data:
                return b""
            with self._lock:
                self.engine.feed(data)
                try:
                    self._plain += self.engine.read()
                except ssl.SSLError as error:
                    raise ConnectionAbortedError(f"TLS failed: {error.reason}") from error
                answer = self.engine.outgoing()
                if answer:
                    self._unsent += answer
        got = bytes(self._plain[:size])
        if not flags & socket.MSG_PEEK:
            del self._plain[: len(got)]
        return got

    def release(self) -> tuple[Any, bytes]:
        """Give up the socket: it, and what was received and not read."""
        self.engine.put_back(bytes(self._unsent))
        self._unsent.clear()
        got = bytes(self._plain)
        self._plain.clear()
        return self.sock, got

    # -- sending -------------------------------------------------------------------

    def send(self, data: Any, flags: int = 0) -> int:
        """Send all of *data*; its size.

        :raises TimeoutError: the peer takes nothing; who tries again does so with the same data,
            of which nothing is sent twice
        :raises ConnectionError: the connection is broken
        """
        view = memoryview(data).cast("B")
        with self._sending:
            done, self._begun = self._begun, 0
            try:
                self._flush()
                while done < len(view):
                    piece = view[done : done + _PIECE]
                    self._encrypt(piece)
                    done += len(piece)
                    self._flush()
            except TimeoutError:
                self._begun = done
                raise
        return len(view)

    def _encrypt(self, piece: memoryview) -> None:
        with self._lock:
            try:
                self.engine.write(piece)
            except ssl.SSLError as error:
                raise ConnectionAbortedError(f"TLS failed: {error.reason}") from error
            self._unsent += self.engine.outgoing()

    def sendall(self, data: Any, flags: int = 0) -> None:
        """:meth:`send`, by the name of what it does."""
        self.send(data, flags)

    def _flush(self) -> None:
        while self._unsent:
            with self._lock:
                piece = bytes(self._unsent[:_PIECE])
            sent = self.sock.send(piece)
            with self._lock:
                del self._unsent[:sent]

    # -- the end -------------------------------------------------------------------

    def shutdown(self, how: int) -> None:
        """End one half of the connection, or both; the peer is told in TLS too."""
        if how != socket.SHUT_RD:
            self._say_goodbye()
        self.sock.shutdown(how)

    def close(self) -> None:
        """Tell the peer, as far as that goes without waiting, and close."""
        if self.sock.fileno() >= 0:
            self._say_goodbye()
            self.sock.close()

    def _say_goodbye(self) -> None:
        with self._lock:
            self.engine.close()
            self._unsent += self.engine.outgoing()
        if not self._sending.acquire(blocking=False):
            # In the midst of another thread's data there is no place for it.
            return
        try:
            timeout = self.sock.gettimeout()
            # OSError: it is full, or the peer has gone.
            with contextlib.suppress(OSError):
                self.sock.settimeout(0)
                try:
                    self._flush()
                finally:
                    self.sock.settimeout(timeout)
        finally:
            self._sending.release()

    def dup(self) -> socket.socket:
        """A second descriptor of the connection, without TLS: to wait for its end."""
        return self.sock.dup()

    # -- what else a socket has ----------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        """Addresses, options, timeouts, the descriptor: as the socket beneath has them."""
        return getattr(self.sock, name)
