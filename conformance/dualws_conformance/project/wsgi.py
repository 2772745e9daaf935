"""The application: WSGI corners under ``/wsgi/``, Django for everything else."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "dualws_conformance.project.settings"

from django.core.wsgi import get_wsgi_application

from dualws_conformance.project import corners

_django = get_wsgi_application()


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Route by the path's first part."""
    if environ["PATH_INFO"].startswith("/wsgi/"):
        return corners.application(environ, start_response)
    response: Iterable[bytes] = _django(environ, start_response)
    return response
