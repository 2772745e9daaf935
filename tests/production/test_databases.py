"""More sockets than database connections: PostgreSQL, and MySQL's protocol through PyMySQL."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.crowd import answer, ask, ask_all, open_socket
from support.databases import MariaDB, PostgreSQL
from support.machine import needs
from support.server import LiveServer
from support.timing import eventually

Serve = Callable[..., LiveServer]
STYLES = ["blocking", "events", "sensitive", "insensitive", "inside"]
#: Of twenty: some are kept for a moment, some are on their way out, one is the test's.
IN_FLIGHT = 6


@needs("initdb")
@pytest.mark.parametrize("pool", [False, True], ids=["no pool", "pool"])
def test_five_hundred_sockets_share_twenty_connections(
    serve_with: Serve, postgresql: PostgreSQL, key: str, pool: bool
) -> None:
    options = {"pool": {"min_size": 1, "max_size": 8}} if pool else {}
    server = serve_with(postgresql.settings(key, OPTIONS=options))
    clients = [open_socket(server, f"/db/{STYLES[i % 5]}/") for i in range(500)]
    for _ in range(2):
        answers = ask_all(clients, IN_FLIGHT)
        assert {text.split()[1] for text in answers} == {"0"}
    if pool:
        assert postgresql.connections(key) <= 8
    else:
        eventually(lambda: postgresql.connections(key) == 0, what="connections are still held")
    assert server.get_json("/users/") is not None
    for client in clients:
        client.close()


@needs("mariadb-install-db", "mariadbd")
def test_mysql_serves_more_sockets_than_it_has_connections(
    serve_with: Serve, mariadb: MariaDB, key: str
) -> None:
    server = serve_with(mariadb.settings(key))
    clients = [open_socket(server, f"/db/{STYLES[i % 5]}/") for i in range(100)]
    for _ in range(2):
        assert {text.split()[1] for text in ask_all(clients, IN_FLIGHT)} == {"0"}
    eventually(lambda: mariadb.connections(key) == 0, what="connections are still held")
    with open_socket(server, f"/db/in-atomic/?key={key}") as client:
        first = answer(client)
        assert server.get_json("/db/groups/", key=key) == 0
        assert ask(client) == first
        assert server.get_json("/db/groups/", key=key) == 1
    for client in clients:
        client.close()
