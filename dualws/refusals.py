"""A refused handshake as the frameworks' own exception.

Law: what leaves the server's code as :exc:`~dualws.errors.HandshakeError` passes through the
project's: Django and Werkzeug (Flask) must take it for an answer to the client, and neither for a
bug to report nor for a reason to log a traceback. Neither is imported for it.
"""

from __future__ import annotations

import sys
from typing import Any

from dualws.errors import HandshakeError


def for_frameworks(error: HandshakeError) -> HandshakeError:
    """The same error as one that the frameworks in this process answer with its status."""
    bases: list[type] = [HandshakeError]
    members: dict[str, Any] = {}
    django = sys.modules.get("django.core.exceptions")
    if django is not None:
        bases.append(django.BadRequest if error.status in (400, 426) else django.PermissionDenied)
    werkzeug = sys.modules.get("werkzeug.exceptions")
    if werkzeug is not None:
        bases.append(werkzeug.HTTPException)
        members["code"] = error.status

        def get_headers(self: Any, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
            """Werkzeug's own headers and those that belong to the refusal."""
            own = werkzeug.HTTPException.get_headers(self, *args, **kwargs)
            return [*own, *error.headers]

        members["get_headers"] = get_headers
    if len(bases) == 1:
        return error
    kind = type("HandshakeRefused", tuple(bases), members)
    refused: HandshakeError = kind(error.reason, error.status, error.headers)
    return refused
