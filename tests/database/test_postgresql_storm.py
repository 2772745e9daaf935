"""Everybody comes back at once to a database with twenty connections, and everybody gets in."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable

from support.crowd import answer, knock
from support.databases import PostgreSQL
from support.machine import needs
from support.member import Member
from support.server import LiveServer

pytestmark = needs("initdb")


def test_a_burst_takes_no_more_connections_than_there_are(
    serve_app: Callable[..., LiveServer], postgresql: PostgreSQL, key: str
) -> None:
    people = ("django.contrib.sessions.middleware.Session", "dualws.auth_middleware.Authentication")
    env = {
        "DUALWS_TEST_DATABASE": json.dumps(postgresql.settings(f"storm_{key}")),
        "DUALWS_TEST_SETTINGS": json.dumps({"MIDDLEWARE": [f"{one}Middleware" for one in people]}),
    }
    server = serve_app("support.project.wsgi", env=env)
    members = [Member(server, f"{key}-{number}") for number in range(8)]
    with contextlib.ExitStack() as stack:
        clients = []
        for number in range(120):  # all are under way before the first is answered
            member = members[number % len(members)]
            client = stack.enter_context(server.connect())
            knock(client, "/together/who/", server.netloc, member.header)
            clients.append((client, member))
        for client, member in clients:
            assert client.read_head().status == 101
            assert json.loads(answer(client))["name"] == member.name
