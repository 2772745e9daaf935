"""A transport with TLS around a transport without: the contract on both sides.

Law: *the backend's own transport does not know*. It carries ciphertext for this one, which is
its owner, and which is a transport to the connection in turn. So the plain path has not an
instruction more, and every backend has websockets over TLS.
"""

from __future__ import annotations

import ssl

from dualws.contract import ConnectionOwner, Lock, Transport
from dualws.limits.counting import Account
from dualws.tls.engine import Engine
from dualws.transport import NOBODY


class TlsTransport:
    """Implements :class:`dualws.contract.Transport`, and the owner of the one beneath.

    :param engine: the connection's TLS, after its handshake
    :param owner: receives what arrives
    :param lock: a native mutex
    :param early: plaintext that came together with the request; the transport beneath is to
        be given the same, so that it delivers it when reading begins
    """

    def __init__(self, engine: Engine, owner: ConnectionOwner, lock: Lock, early: bytes) -> None:
        self._engine = engine
        self._owner = owner
        self._lock = lock
        self._early = early
        self._closing = False
        self._failed = False
        self._eof = False
        self._beneath: Transport

    def begin(self, beneath: Transport) -> None:
        """Take *beneath*, whose owner this is; before anything else."""
        self._beneath = beneath
        # What a transport may have, and this one then has too.
        for name in ("waiter", "departure", "taken"):
            method = getattr(beneath, name, None)
            if method is not None:
                setattr(self, name, method)

    # -- to the connection: a transport --------------------------------------------

    @property
    def account(self) -> Account | None:
        """Counts what waits for the peer: ciphertext, in the transport beneath."""
        account: Account | None = getattr(self._beneath, "account", None)
        return account

    @account.setter
    def account(self, account: Account | None) -> None:
        if hasattr(self._beneath, "account"):
            self._beneath.account = account

    @property
    def buffered(self) -> int:
        return self._beneath.buffered

    def write(self, data: bytes | bytearray) -> int:
        with self._lock:
            if self._failed:
                return -1
            if self._closing:
                return self._beneath.buffered
            try:
                self._engine.write(data)
            except ssl.SSLError:
                self._closing = self._failed = True
                self._beneath.abort()
                return -1
            # Within the lock: records must leave in the order in which they were made.
            return self._beneath.write(self._engine.outgoing())

    def pause_reading(self) -> None:
        self._beneath.pause_reading()

    def resume_reading(self) -> None:
        self._beneath.resume_reading()

    def close(self) -> None:
        with self._lock:
            if not self._closing:
                self._closing = True
                self._engine.close()
                self._beneath.write(self._engine.outgoing())
        self._beneath.close()

    def abort(self) -> None:
        self._beneath.abort()

    # -- to the transport beneath: its owner ---------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._early:
            # Decrypted before: the transport beneath only held it back.
            self._early = b""
            self._owner.data_received(data)
            return
        with self._lock:
            if self._closing or self._eof:
                return
            self._engine.feed(data)
            try:
                plain = self._engine.read()
            except ssl.SSLError:
                self._closing = True
                self._beneath.write(self._engine.outgoing())
                self._beneath.abort()
                return
            answer = self._engine.outgoing()
            if answer:
                self._beneath.write(answer)
        if plain:
            self._owner.data_received(plain)
        if self._engine.ended:
            self.eof_received()

    def eof_received(self) -> None:
        if not self._eof:
            self._eof = True
            self._owner.eof_received()

    def drained(self) -> None:
        self._owner.drained()

    def connection_lost(self, error: OSError | None) -> None:
        owner, self._owner = self._owner, NOBODY
        owner.connection_lost(error)
