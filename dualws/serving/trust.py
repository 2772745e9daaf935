"""Which proxies are believed.

Law: *nobody is, but who is listed*: what a proxy says of its client decides who somebody is
and whether a page is secure, and anybody can say it.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable

from dualws.rules import UNIX


class Proxies:
    """The listed ones.

    :param listed: addresses and networks (``10.0.0.0/8``, ``::1``), or ``unix``
    """

    def __init__(self, listed: Iterable[str]) -> None:
        names = set(listed)
        self._unix = UNIX in names
        self._networks = [ipaddress.ip_network(name, strict=False) for name in names - {UNIX}]
        # Peers are few: the proxies. Who is none may be anybody, and is not kept for long.
        self.trusts = functools.lru_cache(256)(self._trusts)

    def trusts_peer(self, peer: object) -> bool:
        """Whether the other end of a connection is listed.

        :param peer: the socket's peer: a tuple that begins with the address; anything else is
            a unix socket's
        """
        return self.trusts(str(peer[0])) if isinstance(peer, tuple) else self._unix

    def _trusts(self, address: str) -> bool:
        """Whether the IP *address* is listed; False for what is none."""
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        # A socket for both families shows IPv4 in this form.
        mapped = getattr(parsed, "ipv4_mapped", None)
        parsed = mapped or parsed
        return any(parsed in network for network in self._networks)
