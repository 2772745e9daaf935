"""PostgreSQL with twenty connections: what sockets hold of them, while they wait and afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from support.crowd import answer, ask, open_socket
from support.databases import PostgreSQL
from support.frames import TEXT, build
from support.machine import needs
from support.server import LiveServer
from support.timing import eventually

pytestmark = needs("initdb")

Serve = Callable[..., LiveServer]
STYLES = ["blocking", "events", "sensitive", "insensitive", "inside"]
#: Name of the database that tests share which need no settings of their own.
SHARED = "shared"


@pytest.fixture(scope="module")
def database(postgresql: PostgreSQL) -> dict[str, Any]:
    """Settings of the shared database."""
    return postgresql.settings(SHARED)


@pytest.fixture
def server(share_with: Serve, postgresql: PostgreSQL, database: dict[str, Any]) -> LiveServer:
    """A server with the shared database, to which there is no connection at first."""
    server = share_with(database)
    wait_for_none(postgresql, SHARED)
    return server


def wait_for_none(postgresql: PostgreSQL, name: str) -> None:
    """Wait until the server has given back all its connections."""
    eventually(
        lambda: postgresql.connections(name) == 0, what="database connections are still held"
    )


@pytest.mark.parametrize("style", STYLES)
def test_a_parked_socket_holds_no_connection(
    server: LiveServer, postgresql: PostgreSQL, style: str
) -> None:
    with open_socket(server, f"/db/{style}/") as client:
        first = ask(client)
        wait_for_none(postgresql, SHARED)
        second = ask(client)
        assert first.split()[0] != second.split()[0]
        wait_for_none(postgresql, SHARED)
        assert ask(client, b"to_thread").split()[1] == "0"
        wait_for_none(postgresql, SHARED)


@pytest.mark.parametrize("style", ["blocking", "events", "inside"])
def test_messages_that_wait_already_use_one_connection(server: LiveServer, style: str) -> None:
    with open_socket(server, f"/db/{style}/") as client:
        client.send(build(TEXT, b"?") * 10)
        assert len({answer(client).split()[0] for _ in range(10)}) == 1


def test_many_short_calls_of_a_coroutine_use_one_connection(server: LiveServer) -> None:
    """Each message of the view is two calls: without a moment of grace, twice as many."""
    with open_socket(server, "/db/sensitive/") as client:
        client.send(build(TEXT, b"?") * 10)
        assert len({answer(client).split()[0] for _ in range(10)}) < 10


def test_a_connection_is_kept_inside_atomic(
    server: LiveServer, postgresql: PostgreSQL, key: str
) -> None:
    with open_socket(server, f"/db/in-atomic/?key={key}") as client:
        first = answer(client)
        # Another socket parks meanwhile, after it had one as well.
        with open_socket(server, "/db/blocking/") as other:
            ask(other)
            eventually(
                lambda: postgresql.connections(SHARED) == 1, what="the other's is still held"
            )
            assert server.get_json("/db/groups/", key=key) == 0
        assert ask(client, b"go on") == first
        wait_for_none(postgresql, SHARED)
        assert server.get_json("/db/groups/", key=key) == 1


def test_a_transaction_is_rolled_back_after_a_wait(
    server: LiveServer, postgresql: PostgreSQL, key: str
) -> None:
    with open_socket(server, f"/db/in-atomic/?key={key}") as client:
        answer(client)
        client.send(build(TEXT, b"roll back"))
        wait_for_none(postgresql, SHARED)
        assert server.get_json("/db/groups/", key=key) == 0


def test_timeouts_are_kept_and_short_ones_count_as_waiting(
    server: LiveServer, postgresql: PostgreSQL
) -> None:
    with (
        open_socket(server, "/db/polling/") as polling,
        open_socket(server, "/db/patient/") as patient,
    ):
        assert answer(patient).endswith(" 0")
        assert answer(patient) == "no message within 0.3 s"
        assert answer(polling).endswith(" 0")
        wait_for_none(postgresql, SHARED)
        assert int(ask(polling)) > 0


@pytest.mark.parametrize("path", ["/db/failing/", "/db/busy/", "/db/killed/"])
def test_connections_are_given_back_however_a_handler_ends(
    server: LiveServer, postgresql: PostgreSQL, key: str, backend: str, path: str
) -> None:
    with open_socket(server, f"{path}?key={key}") as client:
        answer(client)
        if path == "/db/busy/":
            client.close()  # vanishes in the midst of the handler's work
            server.get_json("/release/", key=key)
            assert server.get_json("/notes/", key=key)
        elif path == "/db/failing/":
            client.send(build(TEXT, b"?"))
            server.expect_traceback("the handler's own bug")
        elif backend == "gevent":
            assert server.get("/db/kill/", key=key).status == 200
        else:
            client.send(build(TEXT, b"?"))
            server.expect_traceback("SystemExit")
        wait_for_none(postgresql, SHARED)
        assert server.get_json("/db/groups/", key=key) == 0


def test_a_transaction_that_a_turn_leaves_open_ends_with_the_turn(
    serve_with: Serve, postgresql: PostgreSQL, key: str
) -> None:
    server = serve_with(postgresql.settings(key), "--threads", "1")
    with open_socket(server, f"/db/careless/?key={key}") as client:
        assert ask(client, b"enter") == "True"
        assert server.stderr.wait_for(r"ended inside atomic\(\)") is not None
        wait_for_none(postgresql, key)
        assert ask(client) == "False"
        assert server.get_json("/db/groups/", key=key) == 0


def test_atomic_requests_end_with_the_handshake(
    serve_with: Serve, postgresql: PostgreSQL, key: str
) -> None:
    server = serve_with(postgresql.settings(key, ATOMIC_REQUESTS=True))
    with open_socket(server, f"/db/written/?key={key}"):
        assert server.get_json("/db/groups/", key=key) == 1
        wait_for_none(postgresql, key)
    with open_socket(server, "/db/blocking/") as client:
        ask(client)
        wait_for_none(postgresql, key)


def test_persistent_connections_are_given_back_too(
    serve_with: Serve, postgresql: PostgreSQL, key: str
) -> None:
    server = serve_with(postgresql.settings(key, CONN_MAX_AGE=600))
    clients: list[Any] = []
    for style in ("blocking", "inside", "blocking"):
        clients.append(open_socket(server, f"/db/{style}/"))
        ask(clients[-1])
    wait_for_none(postgresql, key)
    for client in clients:
        client.close()


def test_views_beside_coroutines_keep_their_orm(server: LiveServer, key: str) -> None:
    clients = [open_socket(server, f"/db/{style}/") for style in ("sensitive", "insensitive") * 2]
    for _ in range(10):
        for client in clients:
            client.send(build(TEXT, b"?"))
        for _ in range(3):
            assert server.get_json("/db/groups/", key=key) == 0
        for client in clients:
            assert answer(client).split()[1] == "0"
    for client in clients:
        client.close()
