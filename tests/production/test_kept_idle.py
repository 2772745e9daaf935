"""Connections that CONN_MAX_AGE keeps, while nobody comes."""

from __future__ import annotations

from collections.abc import Callable

from support.crowd import open_socket
from support.database_fixtures import postgresql as postgresql
from support.database_fixtures import serve_with as serve_with
from support.databases import PostgreSQL
from support.machine import needs
from support.server import LiveServer
from support.timing import TIMEOUT, eventually

pytestmark = needs("initdb")


def test_what_no_request_has_used_for_long_is_closed(
    serve_with: Callable[..., LiveServer], postgresql: PostgreSQL, key: str
) -> None:
    server = serve_with(postgresql.settings(key, CONN_MAX_AGE=600))
    with open_socket(server, "/db/blocking/"):
        first = server.get_json("/db/number/")
        assert postgresql.connections(key) == 1
        eventually(
            lambda: postgresql.connections(key) == 0,
            timeout=TIMEOUT * 3,
            what="an unused connection is kept",
        )
        assert server.get_json("/db/number/") != first
