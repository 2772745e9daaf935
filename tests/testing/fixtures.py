"""The fixtures, used as a project uses them; ``test_testing.py`` runs this file with pytest."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable

import pytest
from websockets.sync.client import connect

from dualws.testing import WebSocketClient, WebSocketLiveServer, WebSocketRefused
from support.timing import TIMEOUT


@pytest.fixture(autouse=True)
def _urls(websocket_settings: Callable[..., None]) -> None:
    websocket_settings(ROOT_URLCONF="testing.views")


def count_users() -> int:
    from django.contrib.auth import get_user_model

    return get_user_model().objects.count()


@pytest.mark.parametrize("turn", [1, 2])
def test_the_client_leaves_the_database_as_it_was(
    websocket_client: WebSocketClient, turn: int
) -> None:
    assert count_users() == 0
    with websocket_client.websocket("/users/") as ws:
        ws.send("ada")
        assert ws.receive_json() == 1
    assert count_users() == 1


def test_the_client_refused(websocket_client: WebSocketClient) -> None:
    with pytest.raises(WebSocketRefused, match="302"):
        websocket_client.websocket("/ws/members/")


@pytest.mark.parametrize("turn", [1, 2])
def test_the_live_server_leaves_the_database_as_it_was(
    websocket_live_server: WebSocketLiveServer, turn: int
) -> None:
    assert count_users() == 0
    with connect(f"{websocket_live_server.ws_url}/users/async/", proxy=None) as ws:
        ws.send("ada")
        assert ws.recv(timeout=TIMEOUT) == "1"
    with urllib.request.urlopen(f"{websocket_live_server.url}/page/", timeout=TIMEOUT) as page:
        assert json.load(page) == {"users": 1}


def test_the_backend_is_the_environments(websocket_live_server: WebSocketLiveServer) -> None:
    url = f"{websocket_live_server.url}/ws/inspect/"
    with urllib.request.urlopen(url, timeout=TIMEOUT) as page:
        assert json.load(page)["server"] == websocket_live_server.backend
