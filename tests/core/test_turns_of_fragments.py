"""Who waits to send a message in fragments, when the connection is lost before the turn comes."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from dualws.connection import Connection
from dualws.contract import ServerConfig
from dualws.errors import WebSocketClosed
from dualws.protocol.stream import Stream


def test_who_waits_for_a_turn_is_let_go_when_the_connection_is_lost() -> None:
    server: Any = SimpleNamespace(config=ServerConfig(), connections=set(), forget=lambda _: None)
    server.runtime = SimpleNamespace(lock=threading.Lock)
    connection = Connection(server, Stream())
    connection.open(SimpleNamespace(resume_reading=lambda: None, write=lambda _: None))  # type: ignore[arg-type]
    woken: list[str] = []

    # The first one's iterator waits for something that never comes.
    assert connection.begin_fragments(lambda: woken.append("first"))
    assert not connection.begin_fragments(lambda: woken.append("second"))
    assert not connection.begin_fragments(lambda: woken.append("third"))
    connection.connection_lost(None)
    assert woken == ["second", "third"]
    with pytest.raises(WebSocketClosed):
        connection.write_fragment(b"x")
    for _ in range(3):
        connection.end_fragments(complete=False)
    assert woken == ["second", "third"]
