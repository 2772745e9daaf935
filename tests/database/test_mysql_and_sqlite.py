"""MySQL's protocol through PyMySQL, and SQLite: the same rules as for PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.crowd import answer, ask, ask_all, open_socket
from support.databases import MariaDB
from support.machine import needs
from support.server import LiveServer
from support.timing import eventually

Serve = Callable[..., LiveServer]
STYLES = ["blocking", "events", "sensitive", "insensitive", "inside"]


@needs("mariadb-install-db", "mariadbd")
def test_mysql_serves_more_sockets_than_it_has_connections(
    serve_with: Serve, mariadb: MariaDB, key: str
) -> None:
    server = serve_with(mariadb.settings(key))
    clients = [open_socket(server, f"/db/{STYLES[i % 5]}/") for i in range(100)]
    for _ in range(2):
        assert {text.split()[1] for text in ask_all(clients, 6)} == {"0"}
    eventually(lambda: mariadb.connections(key) == 0, what="connections are still held")
    with open_socket(server, f"/db/in-atomic/?key={key}") as client:
        first = answer(client)
        assert server.get_json("/db/groups/", key=key) == 0
        assert ask(client) == first
        assert server.get_json("/db/groups/", key=key) == 1
    for client in clients:
        client.close()


@pytest.mark.parametrize("style", STYLES)
def test_a_parked_socket_has_sqlite_closed(serve_app: Serve, style: str) -> None:
    server = serve_app("support.project.wsgi")
    with open_socket(server, f"/db/{style}/") as client:
        for _ in range(2):
            assert ask(client) == "0 0"
            eventually(lambda: server.get_json("/db/sqlite/") == 0, what="SQLite is still open")
