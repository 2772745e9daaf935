"""SQLite: the same rules as for PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.crowd import ask, open_socket
from support.server import LiveServer
from support.timing import eventually

Serve = Callable[..., LiveServer]
STYLES = ["blocking", "events", "sensitive", "insensitive", "inside"]


@pytest.mark.parametrize("style", STYLES)
def test_a_parked_socket_has_sqlite_closed(share_app: Serve, style: str) -> None:
    server = share_app("support.project.wsgi")
    with open_socket(server, f"/db/{style}/") as client:
        for _ in range(2):
            assert ask(client) == "0 0"
            eventually(lambda: server.get_json("/db/sqlite/") == 0, what="SQLite is still open")
