"""What settings made of text may say: one rule for each.

Law: *a rule looks at the text alone*, never at the machine: a settings file may be checked
where its certificates and sockets are not. What the text names is looked for when the server
is made.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

#: stands in ``trusted_proxies`` for connections through a unix socket
UNIX = "unix"


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """What one setting may say.

    :param accepts: whether a text is fine
    :param noun: what a wrong one is not: ``no origin``
    :param cure: what to write
    :param example: a value that is fine
    """

    accepts: Callable[[str], object]
    noun: str
    cure: str
    example: str = ""


def _is_network(text: str) -> bool:
    if text == UNIX:
        return True
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


_PATH = Rule(
    re.compile(r"/[\x21-\x7e]*").fullmatch, "no path", 'Write it with its slash: "/ready".'
)

#: The rule of each setting that has one, by field name. For a list it holds for each entry.
RULES = {
    "allowed_origins": Rule(
        re.compile(r"^(\*|[A-Za-z][A-Za-z0-9+.-]*://(\*\.)?[^/*\s]+)$").match,
        "no origin",
        'Write "https://example.com", "https://*.example.com" or "*".',
        "https://example.com",
    ),
    "access_log_format": Rule(
        re.compile("combined|common|json|django").fullmatch,
        "no format that is known",
        'Write "combined", "common", "json" or "django".',
    ),
    "metrics_path": _PATH,
    "live_path": _PATH,
    "ready_path": _PATH,
    "client_certificates": Rule(
        re.compile("none|optional|required").fullmatch,
        "none of none, optional, required",
        'Write "none", "optional" or "required".',
    ),
    "sni_certificates": Rule(
        re.compile(r"(\*\.)?[^*\s=,]+=[^,]+(,[^,]+)?").fullmatch,
        "not NAME=CERTFILE or NAME=CERTFILE,KEYFILE",
        'Write "www.example.com=/etc/tls/www.pem,/etc/tls/www.key".',
        "www.example.com=/etc/tls/www.pem,/etc/tls/www.key",
    ),
    "trusted_headers": Rule(
        re.compile("x-forwarded-(for|proto|host|port)|forwarded").fullmatch,
        "no header that can be trusted",
        'Write "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", '
        'or "forwarded" alone.',
        "x-forwarded-for",
    ),
    "trusted_proxies": Rule(
        _is_network,
        "no address, network or 'unix'",
        'Write "127.0.0.1", "10.0.0.0/8", "::1" or "unix".',
        "127.0.0.1",
    ),
    "unix_socket_mode": Rule(
        re.compile(r"[0-7]{3,4}").fullmatch,
        "no file mode",
        'Write octal digits, for example "660".',
    ),
}


def contradictions(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Settings that are wrong together: name of the field, what is wrong, and the cure.

    :param values: by field name, those that are given
    """
    if "forwarded" in values.get("trusted_headers", ()) and len(values["trusted_headers"]) > 1:
        yield (
            "trusted_headers",
            "has 'forwarded' beside others",
            "A proxy sets the one or the others, and passes on what clients send of the rest: "
            "list what yours sets.",
        )
    if values.get("proxy_protocol") and not values.get("trusted_proxies"):
        yield (
            "proxy_protocol",
            "is on, and no proxy is listed, so that every connection would be closed",
            "List the proxies: trusted_proxies.",
        )
    if values.get("client_certificates", "none") != "none" and not values.get("ca_certs"):
        yield (
            "client_certificates",
            "asks for certificates, and no authority is named that they could come from",
            "Name the file with the authorities' certificates: ca_certs.",
        )
