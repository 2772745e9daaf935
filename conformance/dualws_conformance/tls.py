"""TLS for the kit: a throw-away certificate, and a client that speaks TLS over a bare socket.

Law: the client trusts this certificate alone, and closes each direction as TLS does
(RFC 8446 section 6.1), so that half-closed connections can be tried as well.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from dualws_conformance.model import fail

_PIECE = 1 << 16


class Tls:
    """A certificate for 127.0.0.1 that is valid for some days. Close it at the end.

    :raises FileNotFoundError: the program that makes certificates is not installed
    """

    def __init__(self) -> None:
        openssl = shutil.which("openssl")
        if openssl is None:
            raise FileNotFoundError(
                "--tls: the kit makes its certificate with the program openssl, which is not "
                "installed here. Install it (on Debian: apt install openssl)"
            )
        self._folder = tempfile.TemporaryDirectory(prefix="dualws-conformance-tls-")
        certificate, key = (Path(self._folder.name, name) for name in ("cert.pem", "key.pem"))
        subprocess.run(
            [
                *(openssl, "req", "-x509", "-newkey", "ec", "-nodes", "-days", "7"),
                *("-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=dualws-conformance"),
                *("-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate, "-keyout", key),
            ],
            capture_output=True,
            check=True,
        )
        #: words for ``dualws serve``
        self.options = ("--certfile", str(certificate), "--keyfile", str(key))
        #: the client's side
        self.context = ssl.create_default_context(cafile=certificate)

    def wrap(self, sock: socket.socket, host: str, patience: float) -> TlsSocket:
        """The client's side of a new connection, after its handshake.

        :param patience: seconds that each call on it may take
        """
        return TlsSocket(sock, self.context, host, patience)

    def close(self) -> None:
        """Remove the files."""
        self._folder.cleanup()


class TlsSocket:
    """As much of a socket as :class:`dualws_conformance.wire.Client` uses."""

    def __init__(
        self, sock: socket.socket, context: ssl.SSLContext, host: str, patience: float
    ) -> None:
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._unsent = b""
        sock.settimeout(patience)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                if not self._receive():
                    raise ConnectionResetError("closed within the TLS handshake") from None
            else:
                break
        self._flush()

    def _flush(self) -> None:
        self._unsent += self._outgoing.read()
        while self._unsent:
            self._unsent = self._unsent[self._sock.send(self._unsent) :]

    def _receive(self) -> bool:
        data = self._sock.recv(_PIECE)
        self._incoming.write(data)
        return bool(data)

    def sendall(self, data: bytes) -> None:
        """Send everything."""
        self._flush()
        view = memoryview(data)
        while view:
            view = view[self._tls.write(view[:_PIECE]) :]
            self._flush()

    def recv(self, size: int) -> bytes:
        """At most *size* bytes; none at the end."""
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                if not self._receive():
                    return b""
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLError as error:
                fail(f"the server sent what is not TLS: {error.reason}")

    def shutdown(self, how: int) -> None:
        """End the sending half, in TLS and beneath it."""
        # The error says that the server's end is to be awaited: it is read like all the rest.
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self._flush()
        self._sock.shutdown(how)

    def __getattr__(self, name: str) -> Any:
        """Timeouts, options, addresses, close: as the socket beneath has them."""
        return getattr(self._sock, name)
