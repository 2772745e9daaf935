"""What settings made of text may say: one rule for each.

Law: *a rule looks at the text alone*, never at the machine: a settings file may be checked
where its certificates and sockets are not. What the text names is looked for when the server
is made.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Callable


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
    if text == "unix":
        return True
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


#: The rule of each setting that has one, by field name. For a list it holds for each entry.
RULES = {
    "allowed_origins": Rule(
        re.compile(r"^(\*|[A-Za-z][A-Za-z0-9+.-]*://(\*\.)?[^/*\s]+)$").match,
        "no origin",
        'Write "https://example.com", "https://*.example.com" or "*".',
        "https://example.com",
    ),
    "unix_socket_mode": Rule(
        re.compile(r"[0-7]{3,4}").fullmatch,
        "no file mode",
        'Write octal digits, for example "660".',
    ),
}
