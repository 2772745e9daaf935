"""Connections of requests that ended badly: nobody else gets them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.database_fixtures import postgresql as postgresql
from support.database_fixtures import serve_with as serve_with
from support.databases import PostgreSQL
from support.machine import needs
from support.server import LiveServer

pytestmark = [needs("initdb"), pytest.mark.parametrize("backend", ["gevent"], indirect=True)]

Serve = Callable[..., LiveServer]


@pytest.mark.parametrize("path", ["/db/given-up/", "/db/left-open/"])
def test_what_is_in_the_midst_of_something_is_not_kept(
    serve_with: Serve, postgresql: PostgreSQL, key: str, backend: str, path: str
) -> None:
    server = serve_with(postgresql.settings(key, CONN_MAX_AGE=600))
    first = server.get_json("/db/number/")
    assert server.get(path, key=key).status == 200
    assert server.get_json("/db/number/") != first
    assert server.get_json("/db/groups/", key=key) == 0


def test_clients_that_stay_hold_none_between_their_requests(
    serve_with: Serve, postgresql: PostgreSQL, key: str, backend: str
) -> None:
    server = serve_with(postgresql.settings(key, CONN_MAX_AGE=600))
    clients = [server.connect() for _ in range(5)]
    numbers = set()
    for _ in range(2):
        for client in clients:
            client.send_request("GET", "/db/number/", ("Host", server.netloc))
            numbers.add(client.read_response().body)
    assert len(numbers) == postgresql.connections(key) == 1
    for client in clients:
        client.close()
