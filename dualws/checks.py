"""System checks of the ``DUALWS_`` settings, run by ``manage.py check`` and ``superserver``.

Law: *everything that can be wrong in the settings is said before the first request*.

==== =====================================================================
E001 no such setting
E002 a setting of the wrong type
E003 a setting out of its range, or an origin that is none
E004 DUALWS_BACKEND names a backend that is not installed
W001 with ``--deploy``: DUALWS_ALLOWED_ORIGINS admits every site
==== =====================================================================
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core import checks

from dualws import conf, registry

_IDS = {"unknown": "dualws.E001", "type": "dualws.E002", "value": "dualws.E003"}


def register() -> None:
    """Make Django run the checks of this module."""
    checks.register(check_settings, "dualws")
    checks.register(check_backend, "dualws")
    checks.register(check_origins, "dualws", checks.Tags.security, deploy=True)


def check_settings(**kwargs: Any) -> list[checks.CheckMessage]:
    """Unknown names, wrong types and impossible values."""
    return [
        checks.Error(problem.message, hint=problem.cure, id=_IDS[problem.kind])
        for problem in conf.problems(conf.given_settings(settings))
    ]


def check_backend(**kwargs: Any) -> list[checks.CheckMessage]:
    """The backend is installed. Its plugin is not imported, only looked for."""
    name = getattr(settings, "DUALWS_BACKEND", None)
    installed = registry.names()
    if not isinstance(name, str) or not name or name in installed:
        return []
    hint = f"Installed backends: {', '.join(installed) or 'none'}."
    return [checks.Error(f"DUALWS_BACKEND: no backend {name!r}.", hint=hint, id="dualws.E004")]


def check_origins(**kwargs: Any) -> list[checks.CheckMessage]:
    """``*`` lets any web page open websockets with a visitor's cookies."""
    if "*" not in getattr(settings, "DUALWS_ALLOWED_ORIGINS", ()):
        return []
    return [
        checks.Warning(
            "DUALWS_ALLOWED_ORIGINS contains '*': any site may open websockets as its visitors.",
            hint="List the sites that may, for example https://example.com.",
            id="dualws.W001",
        )
    ]
