"""The Sec-WebSocket-Extensions header of a client (RFC 6455 section 9.1).

Law: the whole header fits the grammar or the handshake fails; what an extension and its
parameters mean is none of this module's business.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from dualws.errors import HandshakeError

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_WHOLE_TOKEN = re.compile(_TOKEN + r"\Z")
#: one element of the list: an extension with its parameters, or nothing at all
_ELEMENT = re.compile(rf"[ \t]*(?:({_TOKEN})((?:[^,\"]|\"(?:[^\"\\]|\\.)*\")*))?(?:,|\Z)")
_PARAMETER = re.compile(
    rf"[ \t]*;[ \t]*({_TOKEN})(?:[ \t]*=[ \t]*(?:({_TOKEN})|\"((?:[^\"\\]|\\.)*)\"))?[ \t]*"
)


class Extension(NamedTuple):
    """One extension that the client offers.

    :param name: its name; the same name may be offered several times
    :param parameters: names and values in their order, doubles included; the value is
        None where there is none, and has no quotes where it had some
    """

    name: str
    parameters: tuple[tuple[str, str | None], ...]


def parse(value: str) -> tuple[Extension, ...]:
    """All extensions of the header, in the client's order of preference.

    :param value: the header's value; several headers joined with commas
    :raises HandshakeError: it does not fit the grammar
    """
    extensions = []
    position = 0
    while position < len(value):
        element = _ELEMENT.match(value, position)
        if element is None:
            raise _malformed()
        if element[1] is not None:
            extensions.append(Extension(element[1], _parameters(element[2])))
        position = element.end()
    return tuple(extensions)


def _parameters(text: str) -> tuple[tuple[str, str | None], ...]:
    text = text.rstrip(" \t")
    parameters = []
    position = 0
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if match is None:
            raise _malformed()
        value = match[2]
        if match[3] is not None:
            # What the quotes hold must be a token once the backslashes are gone.
            value = re.sub(r"\\(.)", r"\1", match[3])
            if not _WHOLE_TOKEN.match(value):
                raise _malformed()
        parameters.append((match[1], value))
        position = match.end()
    return tuple(parameters)


def _malformed() -> HandshakeError:
    return HandshakeError("Sec-WebSocket-Extensions must be a list of extensions (RFC 6455 9.1)")
