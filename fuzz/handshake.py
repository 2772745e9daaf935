"""Feeds any header fields to the opening handshake.

Law: whatever a client sends, the handshake is refused with a status of its own, or its answer is a
101 whose lines are those that were meant, with an extension that the client can follow.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import atheris

with atheris.instrument_imports(include=["dualws.protocol", "dualws.origin"]):
    from dualws.errors import HandshakeError
    from dualws.origin import check_origin
    from dualws.protocol.deflate import negotiate
    from dualws.protocol.extensions import parse
    from dualws.protocol.handshake import VERSIONS, examine, is_attempted

from fuzz.driver import run

_VALID = {
    "REQUEST_METHOD": "GET",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_HOST": "example.com",
    "HTTP_UPGRADE": "websocket",
    "HTTP_CONNECTION": "Upgrade",
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
    "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
}
#: The first byte of a line says which field the rest of it is.
_FIELDS = (
    *_VALID,
    "HTTP_ORIGIN",
    "HTTP_SEC_WEBSOCKET_ORIGIN",
    "HTTP_SEC_WEBSOCKET_PROTOCOL",
    "HTTP_SEC_WEBSOCKET_EXTENSIONS",
)
_ALLOWED = ("https://*.example.org", "http://[::1]:80", "null", "http://")


def check(data: bytes) -> None:
    """One input: lines that replace, or with no value take away, fields of a valid request."""
    environ: dict[str, Any] = dict(_VALID)
    for line in data.decode("latin-1").split("\n"):
        if line:
            field, value = _FIELDS[ord(line[0]) % len(_FIELDS)], line[1:]
            if value:
                environ[field] = value
            elif field not in ("REQUEST_METHOD", "SERVER_PROTOCOL"):
                environ.pop(field, None)
    try:
        shaken = examine(environ)
    except HandshakeError as error:
        if error.status not in (400, 426):
            raise AssertionError(f"refused with {error.status}") from error
        return
    if not is_attempted(environ) or shaken.version not in VERSIONS:
        raise AssertionError("a valid handshake that was not attempted")
    agreed = negotiate(shaken.extensions, context_takeover=bool(len(data) & 1))
    subprotocol = shaken.subprotocols[0] if shaken.subprotocols else None
    answer = shaken.response_head(subprotocol, str(agreed or "")).decode("latin-1")
    lines = 4 + (subprotocol is not None) + (agreed is not None)
    if answer.count("\r\n") != lines + 1 or answer.count("\n") != answer.count("\r"):
        raise AssertionError(f"lines that were not meant: {answer!r}")
    if agreed is not None and len(parse(str(agreed))) != 1:
        raise AssertionError(f"an answer that is no extension: {agreed}")
    try:
        check_origin(shaken.origin, "https", environ["HTTP_HOST"], _ALLOWED)
    except HandshakeError as error:
        if error.status != 403:
            raise AssertionError(f"refused with {error.status}") from error


def seeds() -> Iterator[bytes]:
    """Inputs to begin with: each field with a value that is worth changing."""
    values = {
        "REQUEST_METHOD": "POST",
        "SERVER_PROTOCOL": "HTTP/1.0",
        "HTTP_HOST": "[::1]:8000",
        "HTTP_UPGRADE": "h2c, WebSocket",
        "HTTP_CONNECTION": "keep-alive, Upgrade",
        "HTTP_SEC_WEBSOCKET_VERSION": "8",
        "HTTP_SEC_WEBSOCKET_KEY": "AAAAAAAAAAAAAAAAAAAAAA==",
        "HTTP_ORIGIN": "https://a.example.org:443",
        "HTTP_SEC_WEBSOCKET_ORIGIN": "http://[::1]",
        "HTTP_SEC_WEBSOCKET_PROTOCOL": "chat.v1, chat.v2",
        "HTTP_SEC_WEBSOCKET_EXTENSIONS": 'permessage-deflate; server_max_window_bits="10", a; b=c',
    }
    lines = [chr(_FIELDS.index(name)) + value for name, value in values.items()]
    yield b""
    for line in lines:
        yield line.encode("latin-1")
    yield "\n".join(lines[5:]).encode("latin-1")


if __name__ == "__main__":
    logging.disable()
    run(check, seeds())
