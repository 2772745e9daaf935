"""Fleets of workers for the tests of several processes, and how their websockets are used."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.crowd import ask, open_socket
from support.diary import Diary
from support.frames import CLOSE, TEXT, build, close_payload, read_frame
from support.raw import RawClient
from support.timing import eventually
from support.workers import Fleet

Start = Callable[..., Fleet]
RUNNERS = ["dualws", "gunicorn"]
#: gunicorn's command has no options of ours
SETTINGS = (
    '{"ROOT_URLCONF": "support.project.draining", "DUALWS_DRAIN_WINDOW": 0.5, '
    '"DUALWS_CLOSE_TIMEOUT": 1}'
)


@pytest.fixture
def start(backend: str, tmp_path: Path) -> Iterator[Start]:
    """``start(workers=2, config=…)``: a fleet, stopped after the test."""
    fleets: list[Fleet] = []

    def begin(**options: Any) -> Fleet:
        environ = {"DUALWS_TEST_SETTINGS": SETTINGS, **options.pop("env", {})}
        fleet = Fleet(tmp_path, backend, env=environ, **options)
        fleets.append(fleet)
        return fleet

    yield begin
    for fleet in fleets:
        fleet.stop()
        sys.stderr.write(fleet.text())


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    """What the handlers write."""
    return Diary(tmp_path)


def who(client: RawClient) -> int:
    """The process that serves a websocket."""
    return int(ask(client, b"who").split()[0])


def end(client: RawClient) -> int | None:
    """Read to the close frame and answer it; its code."""
    while (frame := read_frame(client)).opcode != CLOSE:
        assert frame.opcode == TEXT
    client.send(build(CLOSE, close_payload(frame.close_code or 1000)))
    client.assert_closed()
    client.close()
    return frame.close_code


def open_securely(fleet: Fleet, path: str, context: ssl.SSLContext) -> RawClient:
    """A websocket over TLS, in one thread.

    Python 3.11 loses what one thread sends while another reads, as clients of libraries do.
    """
    client = fleet.connect()
    client.sock = context.wrap_socket(client.sock, server_hostname=fleet.address[0])
    return open_socket(fleet, path, by=client)


def open_in_each(fleet: Fleet, path: str = "/blocking/") -> dict[int, RawClient]:
    """A websocket in each worker."""
    clients: dict[int, RawClient] = {}
    spare: list[RawClient] = []

    def everywhere() -> bool:
        client = open_socket(fleet, f"{path}?key=x")
        pid = who(client)
        if pid in clients:
            spare.append(client)
        else:
            clients[pid] = client
        return len(clients) == len(fleet.workers())

    eventually(everywhere, what="some worker gets no websocket")
    for client in spare:
        client.send(build(CLOSE, close_payload(1000)))
        read_frame(client)
        client.close()
    return clients
