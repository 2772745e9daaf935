"""The opening handshake (RFC 6455 section 4.2): a WSGI environ in, a verdict out.

Law: header fields that hold lists are compared token by token, never by substring, and
the first thing that is wrong is the one that is reported.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from dualws.errors import HandshakeError
from dualws.protocol.extensions import Extension, parse

#: Protocol versions that are spoken: RFC 6455, and the drafts hybi-10 and hybi-07, whose
#: frames are the same.
VERSIONS = (13, 8, 7)

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION_HEADER = (("Sec-WebSocket-Version", ", ".join(map(str, VERSIONS))),)
#: Headers of a 426 (RFC 9110 section 15.5.22).
_UPGRADE_HEADERS = (("Upgrade", "websocket"), ("Connection", "Upgrade"), *_VERSION_HEADER)
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
#: Headers of the application's response that the 101 must not carry: they describe a body
#: or belong to the handshake.
_NOT_ON_101 = frozenset(
    {
        "connection",
        "content-length",
        "content-type",
        "date",
        "server",
        "keep-alive",
        "transfer-encoding",
        "upgrade",
        "sec-websocket-accept",
        "sec-websocket-extensions",
        "sec-websocket-protocol",
    }
)


@dataclasses.dataclass(frozen=True, slots=True)
class Handshake:
    """A valid opening handshake.

    :param key: value of Sec-WebSocket-Key
    :param version: protocol version, one of :data:`VERSIONS`
    :param subprotocols: what the client offers, in its order of preference
    :param extensions: what Sec-WebSocket-Extensions offers, in its order of preference
    :param origin: the page's origin; None when the client is not a browser
    """

    key: str
    version: int
    subprotocols: tuple[str, ...]
    extensions: tuple[Extension, ...]
    origin: str | None

    def response_head(
        self,
        subprotocol: str | None = None,
        extensions: str = "",
        headers: Iterable[tuple[str, str]] = (),
    ) -> bytes:
        """The whole 101 response (RFC 6455 section 4.2.2).

        :param subprotocol: the one chosen among :attr:`subprotocols`
        :param extensions: the extensions agreed upon
        :param headers: further headers; those that a 101 cannot have are left out
        :raises ValueError: a header holds a line break
        """
        digest = hashlib.sha1(self.key.encode("ascii") + _GUID, usedforsecurity=False).digest()
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Accept: " + base64.b64encode(digest).decode("ascii"),
        ]
        if subprotocol is not None:
            lines.append("Sec-WebSocket-Protocol: " + subprotocol)
        if extensions:
            lines.append("Sec-WebSocket-Extensions: " + extensions)
        lines += [f"{name}: {value}" for name, value in headers if name.lower() not in _NOT_ON_101]
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("line break in a header of the 101 response")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def is_attempted(environ: Mapping[str, Any]) -> bool:
    """Whether the client means to open a websocket, rightly or wrongly."""
    return (
        "HTTP_SEC_WEBSOCKET_KEY" in environ
        or "HTTP_SEC_WEBSOCKET_VERSION" in environ
        or "websocket" in _tokens(environ.get("HTTP_UPGRADE", ""))
    )


def examine(environ: Mapping[str, Any]) -> Handshake:
    """Judge an upgrade request by RFC 6455 section 4.2.1.

    :param environ: the request; one for which :func:`is_attempted` is true
    :raises HandshakeError: what is wrong with it; its status is 426 for a version that is
        not spoken, else 400
    """
    if environ["REQUEST_METHOD"] != "GET":
        raise HandshakeError(f"the method must be GET, not {environ['REQUEST_METHOD']}")
    protocol = environ.get("SERVER_PROTOCOL", "")
    if protocol != "HTTP/1.1":
        raise HandshakeError(f"the request must be HTTP/1.1, not {protocol}")
    if not environ.get("HTTP_HOST"):
        raise HandshakeError("the Host header is missing")
    if "websocket" not in _tokens(environ.get("HTTP_UPGRADE", "")):
        raise HandshakeError("the Upgrade header must contain 'websocket'")
    if "upgrade" not in _tokens(environ.get("HTTP_CONNECTION", "")):
        raise HandshakeError("the Connection header must contain 'Upgrade'")
    version = _version(environ.get("HTTP_SEC_WEBSOCKET_VERSION"))
    key = environ.get("HTTP_SEC_WEBSOCKET_KEY")
    if key is None:
        raise HandshakeError("the Sec-WebSocket-Key header is missing")
    if not _is_key(key):
        raise HandshakeError("Sec-WebSocket-Key must be the base64 of 16 bytes")
    # hybi-07 and hybi-10 call the header Sec-WebSocket-Origin (section 5.1 of both).
    origin = environ.get("HTTP_ORIGIN" if version == 13 else "HTTP_SEC_WEBSOCKET_ORIGIN")
    if origin is None and version != 13:
        origin = environ.get("HTTP_ORIGIN")
    return Handshake(
        key=key,
        version=version,
        subprotocols=_subprotocols(environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL")),
        extensions=parse(environ.get("HTTP_SEC_WEBSOCKET_EXTENSIONS", "")),
        origin=origin,
    )


def not_attempted() -> HandshakeError:
    """What a websocket view says to a request without an upgrade: 426 (RFC 9110 15.5.22)."""
    return HandshakeError(
        "this is a websocket: connect to it with ws:// or wss://",
        status=426,
        headers=_UPGRADE_HEADERS,
    )


def not_supported() -> HandshakeError:
    """What a websocket view says on a server that is not ours, and cannot upgrade.

    PEP 3333 allows no header of one hop there: wsgiref, and so Django's runserver, would answer
    500 instead.
    """
    return HandshakeError(
        "this is a websocket, and this server has no websockets: use manage.py superserver or "
        "dualws serve",
        status=426,
        headers=_VERSION_HEADER,
    )


def _version(value: str | None) -> int:
    if value is None:
        raise HandshakeError("the Sec-WebSocket-Version header is missing")
    # Only the plain decimal: int() would let " 13", "+13" and "1_3" through.
    if value not in ("13", "8", "7"):
        spoken = " or ".join(map(str, VERSIONS))
        raise HandshakeError(
            f"Sec-WebSocket-Version must be {spoken}, not {value!r}",
            status=426,
            headers=_UPGRADE_HEADERS,
        )
    return int(value)


def _is_key(value: str) -> bool:
    try:
        return len(value) == 24 and len(base64.b64decode(value, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def _subprotocols(value: str | None) -> tuple[str, ...]:
    if value is None:
        return ()
    offered = tuple(item.strip(" \t") for item in value.split(","))
    if not all(_TOKEN.match(item) for item in offered):
        raise HandshakeError("Sec-WebSocket-Protocol must be a list of tokens")
    if len(set(offered)) != len(offered):
        raise HandshakeError("Sec-WebSocket-Protocol names a subprotocol twice")
    return offered


def _tokens(value: str) -> list[str]:
    return [token.strip(" \t").lower() for token in value.split(",")]
