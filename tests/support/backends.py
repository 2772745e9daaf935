"""Which backends this run of the tests is about.

Law: an environment that names its backends (tox does, in ``DUALWS_TEST_BACKENDS``) gets exactly
those, installed or not: a missing one fails. Without the variable it is what is installed.
"""

from __future__ import annotations

import importlib.util
import os

#: Backend -> the library that it runs on.
LIBRARIES = {"gevent": "gevent", "tornado": "tornado"}


def installed() -> list[str]:
    """Backends whose library can be imported."""
    return [name for name, library in LIBRARIES.items() if importlib.util.find_spec(library)]


def chosen() -> list[str]:
    """Backends that the tests run on."""
    named = os.environ.get("DUALWS_TEST_BACKENDS", "")
    return [name.strip() for name in named.split(",") if name.strip()] or installed()


def missing() -> list[str]:
    """Backends that this environment is known to lack."""
    return [name for name in LIBRARIES if name not in installed()]
