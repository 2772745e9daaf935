"""Fixtures for pytest: ``websocket_client``, ``websocket_live_server``, ``websocket_settings``.

Switch them on with ``-p dualws.testing.pytest_plugin`` in pytest's ``addopts``, or in the top
``conftest.py``::

    pytest_plugins = ["dualws.testing.pytest_plugin"]

Law: pytest-django is not needed, and not disturbed. With it, the database is its own: the
fixtures ask for its ``db`` and ``transactional_db``. Without it, the settings that
DJANGO_SETTINGS_MODULE names are set up before tests are collected, so that their modules may
import models; test databases are made once for the run, when a fixture first needs them, and
each test leaves them as they were.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from dualws.testing.client import WebSocketClient
    from dualws.testing.live import WebSocketLiveServer


def pytest_configure(config: pytest.Config) -> None:
    """Set Django up, unless pytest-django does, or nothing says with which settings."""
    module = os.environ.get("DJANGO_SETTINGS_MODULE")
    if not module or _has_pytest_django(config):
        return
    import django

    try:
        django.setup()
    except ModuleNotFoundError as error:
        # pytest may add their folder to the path only when it collects the tests in it: then
        # the fixtures set Django up, or say what is missing.
        if not f"{module}.".startswith(f"{error.name}."):
            raise


def _has_pytest_django(config: pytest.Config) -> bool:
    return config.pluginmanager.hasplugin("django")


@pytest.fixture(scope="session")
def _dualws_django(request: pytest.FixtureRequest) -> Iterator[None]:
    """Django, set up for tests; nothing where pytest-django does that."""
    if _has_pytest_django(request.config):
        yield
        return
    from django.conf import settings

    if not settings.configured and not os.environ.get("DJANGO_SETTINGS_MODULE"):
        raise pytest.UsageError(
            "The fixtures of dualws need the project's settings: set the environment variable "
            "DJANGO_SETTINGS_MODULE, for example DJANGO_SETTINGS_MODULE=mysite.settings pytest"
        )
    import django
    from django.test.utils import (
        setup_databases,
        setup_test_environment,
        teardown_databases,
        teardown_test_environment,
    )

    django.setup()
    setup_test_environment()
    # What the runner of manage.py says on the way is of no use here.
    made = setup_databases(verbosity=0, interactive=False)
    yield
    teardown_databases(made, verbosity=0)
    teardown_test_environment()


@pytest.fixture
def _dualws_db(request: pytest.FixtureRequest, _dualws_django: None) -> Iterator[None]:
    """The database of a test, rolled back after it."""
    if _has_pytest_django(request.config):
        request.getfixturevalue("db")
        yield
        return
    from django.db import connections, transaction

    with ExitStack() as stack:
        for alias in connections:
            block = transaction.atomic(using=alias)
            # As in a TestCase: a durable block is allowed inside.
            vars(block)["_from_testcase"] = True
            stack.enter_context(block)
        yield
        for alias in connections:
            transaction.set_rollback(True, using=alias)


@pytest.fixture
def _dualws_committed_db(request: pytest.FixtureRequest, _dualws_django: None) -> Iterator[None]:
    """The database of a test that other threads see as well, flushed after it."""
    if _has_pytest_django(request.config):
        request.getfixturevalue("transactional_db")
        yield
        return
    from django.core.management import call_command
    from django.db import connections

    yield
    for alias in connections:
        call_command(
            "flush",
            database=alias,
            verbosity=0,
            interactive=False,
            allow_cascade=False,
            reset_sequences=False,
            inhibit_post_migrate=False,
        )


@pytest.fixture
def websocket_settings(_dualws_django: None) -> Iterator[Callable[..., None]]:
    """``websocket_settings(NAME=value, …)`` overrides settings until the test ends."""
    from django.test import override_settings

    with ExitStack() as stack:

        def override(**values: object) -> None:
            stack.enter_context(override_settings(**values))

        yield override


@pytest.fixture
def websocket_client(_dualws_db: None) -> WebSocketClient:
    """A :class:`~dualws.testing.WebSocketClient`, in a transaction that is rolled back."""
    from dualws.testing.client import WebSocketClient

    return WebSocketClient()


@pytest.fixture
def websocket_live_server(
    request: pytest.FixtureRequest, _dualws_committed_db: None
) -> Iterator[WebSocketLiveServer]:
    """A :class:`~dualws.testing.WebSocketLiveServer` for the test; the database is flushed after.

    The backend is as ``dualws serve`` would choose it. To run a test on another, or on several::

        @pytest.mark.parametrize("websocket_live_server", ["gevent", "tornado"], indirect=True)
    """
    from dualws.testing.live import live_server

    with live_server(getattr(request, "param", None)) as server:
        yield server
