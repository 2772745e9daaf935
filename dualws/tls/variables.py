"""What TLS adds to the environ: the names that Apache's mod_ssl gave these things.

Law: *only what was verified is said.* There is a client's name only once its certificate has
been checked against the authorities; text is bytes decoded as latin-1, as PEP 3333 asks.
"""

from __future__ import annotations

import ssl
from typing import Any

from dualws.tls.engine import Engine, NamedObject

_SHORT = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "userId": "UID",
}
_SPECIAL = '\\,+"<>;='


def variables_of(engine: Engine) -> dict[str, str]:
    """The environ keys of a connection whose handshake is complete.

    ``HTTPS``, ``SSL_PROTOCOL``, ``SSL_CIPHER``, ``SSL_TLS_SNI`` where the client named a host,
    ``SSL_CLIENT_VERIFY`` (``NONE`` or ``SUCCESS``), and with a client's certificate
    ``SSL_CLIENT_S_DN``, ``SSL_CLIENT_S_DN_CN``, ``SSL_CLIENT_I_DN``, ``SSL_CLIENT_M_SERIAL``,
    ``SSL_CLIENT_V_START``, ``SSL_CLIENT_V_END`` and ``SSL_CLIENT_CERT`` (PEM).
    """
    tls = engine.tls
    cipher = tls.cipher()
    variables = {
        "HTTPS": "on",
        "SSL_PROTOCOL": tls.version() or "",
        "SSL_CIPHER": cipher[0] if cipher else "",
        "SSL_CLIENT_VERIFY": "NONE",
    }
    if isinstance(tls, NamedObject) and tls.sni:
        variables["SSL_TLS_SNI"] = tls.sni
    binary = tls.getpeercert(True)
    # Empty without verification: then nobody vouches for what it says.
    told: Any = tls.getpeercert()
    if binary and told:
        common = [value for part in told["subject"] for name, value in part if name == "commonName"]
        variables.update(
            SSL_CLIENT_VERIFY="SUCCESS",
            SSL_CLIENT_S_DN=distinguished_name(told["subject"]),
            SSL_CLIENT_I_DN=distinguished_name(told["issuer"]),
            SSL_CLIENT_M_SERIAL=told["serialNumber"],
            SSL_CLIENT_V_START=told["notBefore"],
            SSL_CLIENT_V_END=told["notAfter"],
            SSL_CLIENT_CERT=ssl.DER_cert_to_PEM_cert(binary),
        )
        if common:
            variables["SSL_CLIENT_S_DN_CN"] = _latin(common[-1])
    return variables


def distinguished_name(parts: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    """A name as ``ssl`` gives it in the form of RFC 4514: the last part first."""
    return ",".join(
        "+".join(f"{_SHORT.get(name, name)}={_escape(value)}" for name, value in part)
        for part in reversed(parts)
    )


def _escape(value: str) -> str:
    """RFC 4514 section 2.4."""
    text = "".join("\\" + char if char in _SPECIAL else char for char in value)
    text = text.replace("\0", "\\00")
    if text.startswith(("#", " ")):
        text = "\\" + text
    if len(text) > 1 and text.endswith(" "):
        text = text[:-1] + "\\ "
    return _latin(text)


def _latin(text: str) -> str:
    return text.encode("utf-8").decode("latin-1")
