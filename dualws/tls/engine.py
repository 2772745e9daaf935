"""One connection's TLS without its socket: ciphertext in, plaintext out, and the other way.

Law: *it never waits.* Whoever owns the socket brings what has arrived and takes away what is
to be sent. Calls from several threads are the caller's to order: OpenSSL allows one at a time.
"""

from __future__ import annotations

import contextlib
import ssl

#: Most that one TLS record holds (RFC 8446 section 5.1).
_RECORD = 16 * 1024


class NamedObject(ssl.SSLObject):
    """A TLS connection that knows which host its client asked for."""

    #: what the client's server_name extension said (RFC 6066 section 3)
    sni: str | None = None


class Engine:
    """The server's side of one connection.

    :param context: certificates and rules
    """

    __slots__ = ("_back", "_incoming", "_outgoing", "ended", "tls")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._back = b""
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        #: the peer has said that it will send no more
        self.ended = False

    def handshake(self) -> bool:
        """Go on with the handshake; True once it is complete.

        Either way something may have to be sent: :meth:`outgoing`.

        :raises ssl.SSLError: it failed; what is to be sent tells the peer why
        """
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def feed(self, data: bytes) -> None:
        """The peer sent *data*."""
        self._incoming.write(data)

    def outgoing(self) -> bytes:
        """What is to be sent to the peer now."""
        back, self._back = self._back, b""
        return back + self._outgoing.read()

    def put_back(self, data: bytes) -> None:
        """Records that were not sent yet are another's to send: the first of its outgoing."""
        self._back = data + self._back

    def read(self) -> bytes:
        """All plaintext that has arrived; may be empty, and may set :attr:`ended`.

        :raises ssl.SSLError: what came is not TLS, or was changed on its way
        """
        pieces = []
        try:
            while data := self.tls.read(_RECORD):
                pieces.append(data)
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self.ended = True
        return b"".join(pieces)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt *data*; :meth:`outgoing` has it then.

        :raises ssl.SSLError: the connection is broken
        """
        view = memoryview(data)
        while view:
            view = view[self.tls.write(view) :]

    def close(self) -> None:
        """Say that nothing more will be sent (RFC 8446 section 6.1); more than once is fine."""
        # WantRead: the peer has not said it yet, and need not.
        with contextlib.suppress(ssl.SSLError, ValueError):
            self.tls.unwrap()
