"""Fixtures of tests with databases of their own; a conftest.py imports them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.databases import MariaDB, PostgreSQL
from support.server import LiveServer


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL server with few connections."""
    with PostgreSQL.start() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """A MariaDB server with few connections."""
    with MariaDB.start() as server:
        yield server


@pytest.fixture
def serve_with(serve_app: Callable[..., LiveServer]) -> Callable[..., LiveServer]:
    """``serve_with(database, "--option", …)``: the test project with these database settings."""

    def start(database: dict[str, Any], *options: str) -> LiveServer:
        env = {"DUALWS_TEST_DATABASE": json.dumps(database)}
        return serve_app("support.project.wsgi", *options, env=env)

    return start


@pytest.fixture
def share_with(share_app: Callable[..., LiveServer]) -> Callable[..., LiveServer]:
    """The same, kept for the other tests of the module that have the same settings."""

    def share(database: dict[str, Any], *options: str) -> LiveServer:
        env = {"DUALWS_TEST_DATABASE": json.dumps(database)}
        return share_app("support.project.wsgi", *options, env=env)

    return share
