"""What listed proxies say of the client: X-Forwarded-For and its kind, or Forwarded (RFC 7239).

Law: *each header is believed only as far as a listed proxy wrote it.* Of the chain of
addresses the right-most that is not a listed proxy is the client, for all to its left could
be the client's own invention; of the others the right-most value counts. A header that is not in
``trusted_headers`` is never looked at: a proxy that does not set it passes on what the client
sent. Headers stay in the environ as they came.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple

from dualws.contract import Environ, ServerConfig, StartResponse, WSGIApplication
from dualws.serving.trust import Proxies

_PORTS = {"http": "80", "https": "443"}
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
#: A host with or without a port; anything else could be text for somebody's page.
_HOST = re.compile(
    r"([A-Za-z0-9](?:[A-Za-z0-9._-]{0,253})|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?"
)
_NODE = re.compile(
    r"\[([0-9A-Fa-f:.]+)\](?::([0-9]{1,5}))?|([0-9.]+):([0-9]{1,5})|([0-9A-Fa-f:.]+)"
)
_PAIR = re.compile(
    r"""[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=
        (?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)|"((?:[^"\\]|\\.)*)")[ \t]*(?:;|$)""",
    re.VERBOSE,
)
#: More hops than any chain of proxies has: what follows is not looked at.
_HOPS = 32


class Node(NamedTuple):
    """One end of a hop.

    :param address: IP address
    :param port: empty when it is not known
    """

    address: str
    port: str


class ForwardedMiddleware:
    """Puts what the listed proxies say into the environ, before anything looks there.

    :param application: everything behind it
    :param config: ``trusted_proxies`` and ``trusted_headers``
    """

    def __init__(self, application: WSGIApplication, config: ServerConfig) -> None:
        #: everything behind it
        self.application = application
        self._proxies = Proxies(config.trusted_proxies)
        self._headers = frozenset(config.trusted_headers)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        address = environ["REMOTE_ADDR"]
        if self._proxies.trusts_peer((address,) if address else ""):
            self.apply(environ)
        return self.application(environ, start_response)

    def apply(self, environ: Environ) -> None:
        """Believe the headers of a request that a listed proxy has sent."""
        if "forwarded" in self._headers:
            said = self._by_forwarded(environ.get("HTTP_FORWARDED", ""))
        else:
            said = self._by_x_forwarded(environ)
        node, scheme, host, port = said
        if node is not None:
            environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = node
        if scheme:
            environ["wsgi.url_scheme"] = scheme
            if scheme == "https":
                environ["HTTPS"] = "on"
            else:
                environ.pop("HTTPS", None)
        if scheme or host or port:
            _set_host(environ, host, port)

    def _by_x_forwarded(self, environ: Environ) -> tuple[Node | None, str, str, str]:
        node = None
        if "x-forwarded-for" in self._headers:
            hops = environ.get("HTTP_X_FORWARDED_FOR", "").split(",")
            for hop in reversed(hops[-_HOPS:]):
                found = parse_node(hop.strip(" \t"))
                if found is None:
                    # Nobody knows who is behind that, so it ends with the last who is known.
                    break
                node = found
                if not self._proxies.trusts(found.address):
                    break
        scheme = _SCHEMES.get(self._last(environ, "x-forwarded-proto").lower(), "")
        host = self._last(environ, "x-forwarded-host")
        port = self._last(environ, "x-forwarded-port")
        return node, scheme, host, port

    def _last(self, environ: Environ, header: str) -> str:
        """What the nearest proxy wrote into a header; empty when that is not believed."""
        if header not in self._headers:
            return ""
        value: str = environ.get("HTTP_" + header.upper().replace("-", "_"), "")
        return value.rpartition(",")[2].strip(" \t")

    def _by_forwarded(self, value: str) -> tuple[Node | None, str, str, str]:
        node, scheme, host = None, "", ""
        # At every comma, also within quotes: what the client sent must not be able to swallow,
        # with a quote that it leaves open, what the proxies appended to it.
        for text in reversed(value.split(",")[-_HOPS:]):
            try:
                element = parse_element(text)
            except ValueError:
                break
            # Each element is one proxy's word about its own client (section 4).
            scheme = _SCHEMES.get(element.get("proto", "").lower(), scheme)
            host = element.get("host", host)
            found = parse_node(element.get("for", ""))
            if found is None:
                break
            node = found
            if not self._proxies.trusts(found.address):
                break
        return node, scheme, host, ""


def parse_node(text: str) -> Node | None:
    """An address with or without a port; None for what is none (``unknown``, ``_hidden``)."""
    match = _NODE.fullmatch(text)
    if match is None:
        return None
    address = match[1] or match[3] or match[5]
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    return Node(str(parsed), match[2] or match[4] or "")


def parse_element(text: str) -> dict[str, str]:
    """The pairs of one element of a Forwarded header, names in lower case.

    :raises ValueError: it is not well formed
    """
    element: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _PAIR.match(text, position)
        if match is None or match[1].lower() in element:
            raise ValueError("not name=value, once each")
        value = match[2] if match[3] is None else re.sub(r"\\(.)", r"\1", match[3])
        element[match[1].lower()] = value
        position = match.end()
    return element


def _set_host(environ: Environ, host: str, port: str) -> None:
    """Which host and port the client asked for; what is not well formed is not believed."""
    match = _HOST.fullmatch(host or environ.get("HTTP_HOST", ""))
    usual = _PORTS[environ["wsgi.url_scheme"]]
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        port = ""
    if match is None:
        if port:
            environ["SERVER_PORT"] = port
        return
    name = match[1]
    port = port or match[2] or usual
    if host or (port != (match[2] or usual)):
        environ["HTTP_HOST"] = name if port == usual else f"{name}:{port}"
    if host:
        environ["SERVER_NAME"] = name
    environ["SERVER_PORT"] = port
