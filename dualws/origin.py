"""Which pages may open a websocket (RFC 6455 section 10.2).

Law: a browser sends cookies with a websocket handshake from any page, and neither CSRF
tokens nor CORS apply to it, so the Origin header is the only defence. The request's own
origin is allowed, and what is listed; a client without the header is no browser.
"""

from __future__ import annotations

import functools
import ipaddress
import logging
from collections.abc import Iterable
from urllib.parse import urlsplit

from dualws.errors import HandshakeError

logger = logging.getLogger("dualws.security")

#: Longer origins are not remembered.
_LONGEST = 300
_DEFAULT_PORTS = {"http": 80, "https": 443}


def check_origin(origin: str | None, scheme: str, host: str, allowed: Iterable[str]) -> None:
    """Refuse a handshake from a page that is not allowed, and log both origins.

    :param origin: the request's Origin header, None without one
    :param scheme: scheme of the request itself: ``http`` or ``https``
    :param host: the request's Host header
    :param allowed: further origins: ``scheme://host[:port]``, ``scheme://*.domain``, or ``*``
    :raises HandshakeError: with status 403
    """
    own = f"{scheme}://{host}"
    if origin is None or is_allowed(origin, own, allowed):
        return
    logger.warning(
        "refusing a websocket from a page of %r: this server is %s and "
        "DUALWS_ALLOWED_ORIGINS does not list the page's origin%s",
        origin,
        own,
        _hint(origin, own),
    )
    raise HandshakeError(f"pages of {origin!r} may not open this websocket", status=403)


def is_allowed(origin: str, own: str, allowed: Iterable[str]) -> bool:
    """Whether *origin* equals *own* or one of *allowed*: scheme, host and port.

    :param origin: value of an Origin header
    :param own: the server's own origin
    :param allowed: patterns as for :func:`check_origin`
    """
    page = _parse(origin)
    for pattern in (own, *allowed):
        if pattern == "*":
            return True
        listed = _parse(pattern)
        if page is None or listed is None:
            continue
        if page == listed:
            return True
        if (
            listed[1].startswith("*.")
            and page[1].endswith(listed[1][1:])
            and (page[0], page[2]) == (listed[0], listed[2])
        ):
            return True
    return False


def _hint(origin: str, own: str) -> str:
    """What developers meet: their own machine under another name, and a page that has none."""
    page, server = _parse(origin), _parse(own)
    if origin == "null":
        return (
            "; 'null' is said by a page without an address (a blank tab, a file): connect from a "
            f"page of {own}"
        )
    if page is None or server is None or (page[0], page[2]) != (server[0], server[2]):
        return ""
    if not (_is_this_machine(page[1]) and _is_this_machine(server[1])):
        return ""
    return (
        f"; {page[1]} and {server[1]} are two origins: open the page as {own}, or let it connect "
        "to its own address"
    )


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _parse(origin: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port; None for what is no origin, such as ``null``."""
    # Nobody has so long a name (RFC 1035 section 2.3.4), and what is remembered is bounded.
    return _parse_again(origin) if len(origin) > _LONGEST else _parse_once(origin)


def _parse_again(origin: str) -> tuple[str, str, int | None] | None:
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return None
    if not parts.scheme or not parts.hostname:
        return None
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    return scheme, parts.hostname, port or _DEFAULT_PORTS.get(scheme)


_parse_once = functools.lru_cache(256)(_parse_again)
