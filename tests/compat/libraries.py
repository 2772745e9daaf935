"""Other people's packages that tests of compatibility run.

Law: a tox environment that names packages in ``DUALWS_TEST_LIBRARIES`` runs every test that
needs them, and fails where one is missing. The environments without that variable lack them on
purpose, since a package that is merely installed may change another: there the tests are left out.
"""

from __future__ import annotations

import importlib.util
import os

import pytest

#: Module -> the tox environment that has it.
ENVIRONMENTS = {
    "flask": "compat",
    "flask_sock": "compat",
    "geventwebsocket": "compat-gevent-websocket",
    "simple_websocket": "compat",
    "socketio": "compat",
}


def named() -> set[str]:
    """Modules that this run must have."""
    return set(os.environ.get("DUALWS_TEST_LIBRARIES", "").replace(",", " ").split())


def installed(module: str) -> bool:
    """Whether *module* can be imported here."""
    return importlib.util.find_spec(module) is not None


def need(*modules: str) -> None:
    """Leave the tests of the calling module out where one of *modules* is not installed.

    :raises AssertionError: one of them is named in ``DUALWS_TEST_LIBRARIES`` and missing
    """
    missing = [module for module in modules if not installed(module)]
    wanted = named().intersection(missing)
    assert not wanted, f"DUALWS_TEST_LIBRARIES names {sorted(wanted)}, not installed here"
    if missing:
        reason = ", ".join(f"{module} (tox -e {ENVIRONMENTS[module]})" for module in missing)
        pytest.skip(f"not in this environment by design: {reason}", allow_module_level=True)
