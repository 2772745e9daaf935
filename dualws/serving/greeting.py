"""What happens on a new connection before its first request: the PROXY preamble, then TLS.

Law: *said once, for all backends.* A greeting is a generator that asks for bytes and gives
bytes to send; a backend has its own way to wait for them, and ends the greeting when it takes
longer than ``tls_timeout``. Servers without TLS and PROXY have no :class:`Greeter` at all.
"""

from __future__ import annotations

import dataclasses
import logging
import socket
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from dualws.contract import ServerConfig
from dualws.serving import proxy_protocol
from dualws.serving.last_answer import last_answer
from dualws.serving.listen import name_of
from dualws.serving.trust import Proxies

if TYPE_CHECKING:
    from dualws.tls.certificates import Certificates
    from dualws.tls.engine import Engine

_logger = logging.getLogger("dualws.server")

_PIECE = 64 * 1024
#: For who speaks plain HTTP to a server with TLS, which a browser may do when asked to.
_SPEAK_TLS = "400 Bad Request", "This server speaks https://"

#: As :meth:`dualws.contract.Server.refused`.
Tell: TypeAlias = Callable[..., object]


class Refused(Exception):
    """The connection is to be closed; the text says why."""


class Receive(NamedTuple):
    """Wait until something has come, then receive.

    :param size: at most that
    :param flags: for ``recv``: ``MSG_PEEK`` leaves it there
    """

    size: int
    flags: int = 0


#: A greeting: sent bytes are answered with nothing, ``Receive`` with bytes, empty at the end.
Greeting: TypeAlias = Generator["Receive | bytes", bytes, "Link"]


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """What is known of a connection when its first request may come.

    :param peer: the client's address, as a socket or the proxy tells it
    :param local: the address that it connected to
    :param scheme: ``http`` or ``https``
    :param variables: more keys for the environ of its requests
    :param engine: its TLS, None without
    """

    peer: Any
    local: Any
    scheme: str
    variables: Mapping[str, str]
    engine: Engine | None


class Greeter:
    """Greets the connections of one server.

    :param config: the server's configuration
    :param certificates: None without TLS
    :param refused: told of requests that are answered here
    """

    def __init__(
        self, config: ServerConfig, certificates: Certificates | None, refused: Tell
    ) -> None:
        #: seconds that a greeting may take
        self.timeout = config.tls_timeout
        self._certificates = certificates
        self._refused = refused
        self._proxies = Proxies(config.trusted_proxies) if config.proxy_protocol else None

    def greet(self, peer: Any, local: Any) -> Greeting:
        """Greet one connection.

        :param peer: the other end's address
        :param local: this end's address
        :raises Refused: it is to be closed
        """
        scheme = "http"
        variables: dict[str, str] = {}
        if self._proxies is not None:
            if not self._proxies.trusts_peer(peer):
                raise Refused("it is not one of the proxies in trusted_proxies")
            preamble = yield from _receive_preamble()
            if preamble.source is not None:
                peer, local = preamble.source, preamble.destination
                if preamble.secure:
                    scheme = "https"
                    variables["HTTPS"] = "on"
        engine = None
        if self._certificates is not None:
            from dualws.tls.variables import variables_of

            engine = self._certificates.engine()
            yield from self._shake_hands(engine, peer)
            scheme = "https"
            variables.update(variables_of(engine))
        return Link(peer, local, scheme, variables, engine)

    def _shake_hands(self, engine: Engine, peer: Any) -> Generator[Receive | bytes, bytes, None]:
        import ssl

        data = b""
        while True:
            try:
                done = engine.handshake()
            except ssl.SSLError as error:
                # Let the client know why: an alert, or HTTP when it is HTTP that it speaks.
                if "HTTP_REQUEST" in (error.reason or ""):
                    status, text = _SPEAK_TLS
                    self._refused(status, peer, data, text=text)
                    yield last_answer(status, text)
                else:
                    yield engine.outgoing()
                raise Refused(f"TLS: {error.reason or error}") from error
            answer = engine.outgoing()
            if answer:
                yield answer
            if done:
                return
            data = yield Receive(_PIECE)
            if not data:
                raise Refused("it ended within the TLS handshake")
            engine.feed(data)


def _receive_preamble() -> Generator[Receive | bytes, bytes, proxy_protocol.Preamble]:
    """Receive the preamble, and not a byte of what follows it."""
    held = b""
    while True:
        data = yield Receive(proxy_protocol.PIECE, socket.MSG_PEEK)
        if not data:
            raise Refused("it ended within the PROXY protocol")
        try:
            preamble = proxy_protocol.parse(held + data)
        except proxy_protocol.BadPreamble as error:
            raise Refused(f"bad PROXY protocol: {error}") from error
        # What belongs to the preamble is taken out, so that waiting for more does wait.
        rest = len(data) if preamble is None else preamble.size - len(held)
        while rest > 0:
            taken = yield Receive(rest)
            if not taken:
                raise Refused("it ended within the PROXY protocol")
            rest -= len(taken)
        if preamble is not None:
            return preamble
        held += data


def log_refused(peer: Any, error: BaseException) -> None:
    """Tell of a connection that was closed before its first request."""
    why = "it took too long" if isinstance(error, TimeoutError) else error
    _logger.info("A connection from %s was closed: %s", name_of(peer), why)
