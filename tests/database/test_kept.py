"""CONN_MAX_AGE: what a request leaves open serves those after it, and no websocket holds it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from support.crowd import ask, open_socket
from support.databases import PostgreSQL
from support.frames import handshake
from support.machine import needs
from support.member import Member
from support.server import LiveServer
from support.timing import eventually

pytestmark = needs("initdb")

Serve = Callable[..., LiveServer]
STYLES = ["blocking", "events", "sensitive"]
#: One thread, where requests have threads: all of them would have connections of their own.
ONE = ("--threads", "1")


@pytest.fixture(scope="module")
def database(postgresql: PostgreSQL) -> dict[str, Any]:
    """Settings of a database whose connections are kept."""
    return postgresql.settings("kept", CONN_MAX_AGE=600)


@pytest.fixture
def server(share_with: Serve, database: dict[str, Any]) -> LiveServer:
    """A server that keeps them."""
    return share_with(database, *ONE)


def number(server: LiveServer) -> int:
    """The number of the connection that a request has."""
    found: int = server.get_json("/db/number/")
    return found


def test_clients_one_after_the_other_have_the_same_connection(server: LiveServer) -> None:
    assert len({number(server) for _ in range(5)}) == 1


def test_without_an_age_each_has_its_own(
    serve_with: Serve, postgresql: PostgreSQL, key: str
) -> None:
    server = serve_with(postgresql.settings(key), *ONE)
    assert len({number(server) for _ in range(5)}) == 5
    eventually(lambda: postgresql.connections(key) == 0, what="a connection is still held")


def test_a_connection_ends_at_its_age(serve_with: Serve, postgresql: PostgreSQL, key: str) -> None:
    server = serve_with(postgresql.settings(key, CONN_MAX_AGE=0.3), *ONE)
    first = number(server)
    eventually(lambda: number(server) != first, what="it is older than it may be")
    assert postgresql.connections(key) == 1


def test_what_the_database_has_closed_is_replaced(
    serve_with: Serve, postgresql: PostgreSQL, key: str
) -> None:
    settings = postgresql.settings(key, CONN_MAX_AGE=600, CONN_HEALTH_CHECKS=True)
    server = serve_with(settings, *ONE)
    first = number(server)
    with postgresql.connect() as connection:
        connection.execute("SELECT pg_terminate_backend(%s)", [first])
    eventually(lambda: postgresql.connections(key) == 0, what="it lives")
    assert number(server) != first


def ask_at_once(server: LiveServer, key: str, number: int) -> set[int]:
    """The numbers that *number* requests have which hold their connections at the same time."""
    found: list[int] = []

    def hold() -> None:
        found.append(server.get_json("/db/held/", key=key))

    askers = [threading.Thread(target=hold) for _ in range(number)]
    held = len(server.get_json("/notes/", key=key))
    for asker in askers:
        asker.start()
    eventually(lambda: len(server.get_json("/notes/", key=key)) == held + number, what="one waits")
    for _ in askers:
        server.get_json("/release/", key=key)
    for asker in askers:
        asker.join()
    return set(found)


def test_requests_at_the_same_time_never_share_one(
    serve_with: Serve, postgresql: PostgreSQL, key: str
) -> None:
    server = serve_with(postgresql.settings(key, CONN_MAX_AGE=600), "--threads", "4")
    for _ in range(2):
        assert len(ask_at_once(server, key, 3)) == 3
    assert postgresql.connections(key) <= 4


@pytest.mark.parametrize("style", STYLES)
def test_a_handshake_leaves_its_connection_to_others(server: LiveServer, style: str) -> None:
    member = Member(server, "ada")
    path = f"/db/looked/{style}/?number"
    numbers = set()
    for _ in range(3):
        with server.connect() as client:
            head = handshake(client, path, server.netloc, member.header)
            assert head.all("X-Known") == ["True"]
            numbers.update(map(int, head.all("X-Number")))
            numbers.add(number(server))
    assert len(numbers) == 1


@pytest.mark.parametrize("style", STYLES)
def test_sockets_that_wait_hold_none_of_them(
    server: LiveServer, postgresql: PostgreSQL, style: str
) -> None:
    member = Member(server, "ada")
    number(server)
    clients = [open_socket(server, f"/db/looked/{style}/", member.header) for _ in range(5)]
    for client in clients:
        ask(client)
    eventually(lambda: postgresql.connections("kept") == 1, what="a socket holds a connection")
    assert len({number(server) for _ in range(3)}) == 1
    for client in clients:
        client.close()


@pytest.mark.parametrize("style", STYLES)
def test_a_handshake_makes_two_queries(server: LiveServer, style: str) -> None:
    """The session's and the user's, neither of them again when the handler begins."""
    member = Member(server, "ada")
    before = server.get_json("/db/executed/")
    clients = [open_socket(server, f"/db/looked/{style}/", member.header) for _ in range(5)]
    assert server.get_json("/db/executed/") - before == 10
    for client in clients:
        client.close()
