"""Live servers on the backend that the environment names.

``test_testing.py`` runs this module with Django's test runner in a process of its own.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import SimpleTestCase, override_settings
from websockets.sync.client import connect

from dualws.errors import AddressUnavailable, UnknownBackend
from dualws.testing import WebSocketLiveServer, WebSocketLiveServerTestCase
from support.timing import TIMEOUT
from testing import views


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
        return json.load(answer)


@override_settings(ROOT_URLCONF="testing.views", STATIC_URL="/static/")
class Live(WebSocketLiveServerTestCase):
    """What a browser, or any other client, meets."""

    def test_where_it_is(self) -> None:
        address = self.live_server_url.removeprefix("http://")
        assert self.live_server_ws_url == f"ws://{address}"
        assert address.startswith("127.0.0.1:")
        assert get(self.live_server_url + "/ws/inspect/")["server"] == os.environ["DUALWS_BACKEND"]

    def test_pages_and_websockets_share_the_tests_database(self) -> None:
        assert connection.is_in_memory_db()
        get_user_model().objects.create_user("by the test")
        for number, path in enumerate(("/users/", "/users/events/", "/users/async/")):
            with connect(self.live_server_ws_url + path, proxy=None) as ws:
                ws.send(f"user-{number}")
                assert ws.recv(timeout=TIMEOUT) == str(number + 2)
        assert get(self.live_server_url + "/page/") == {"users": 4}
        assert get_user_model().objects.count() == 4

    def test_many_clients_at_once(self) -> None:
        failures: list[BaseException] = []

        def talk(number: int) -> None:
            try:
                with connect(self.live_server_ws_url + "/ws/echo/", proxy=None) as ws:
                    for i in range(20):
                        ws.send(f"{number}-{i}")
                        assert ws.recv(timeout=TIMEOUT) == f"{number}-{i}"
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=talk, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
        assert failures == []


@override_settings(ROOT_URLCONF="testing.views")
class Servers(SimpleTestCase):
    """Beginning and ending."""

    def test_it_says_goodbye_and_the_port_is_free_again(self) -> None:
        views.drained.clear()
        server = WebSocketLiveServer()
        server.start()
        self.addCleanup(server.stop)
        with connect(server.ws_url + "/draining/", proxy=None) as ws:
            ws.send("?")
            assert ws.recv(timeout=TIMEOUT) == "here"
            server.stop()
            assert list(ws) == []
            assert (ws.close_code, ws.close_reason) == (1001, "the server is shutting down")
        assert views.drained == [(True, 1001)]
        with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
            probe.connect((server.host, server.port))
        with WebSocketLiveServer(port=server.port) as again:
            assert again.port == server.port

    def test_what_cannot_be_started_says_why(self) -> None:
        with pytest.raises(UnknownBackend, match="nonesuch"):
            WebSocketLiveServer("nonesuch").start()
        with WebSocketLiveServer() as server, pytest.raises(AddressUnavailable, match="in use"):
            WebSocketLiveServer(port=server.port).start()

    def test_ipv6(self) -> None:
        with WebSocketLiveServer(host="::1") as server:
            assert server.url == f"http://[::1]:{server.port}"
            with connect(server.ws_url + "/ws/returns/", proxy=None) as ws:
                assert ws.recv(timeout=TIMEOUT) == "first and last"

    def test_no_thread_is_left_waiting(self) -> None:
        def descriptors() -> int:
            return len(list(Path("/dev/fd").iterdir()))

        with WebSocketLiveServer():
            pass
        before = descriptors()
        for _ in range(3):
            with WebSocketLiveServer() as server:
                get(server.url + "/ws/inspect/")
        assert descriptors() <= before + 1


logging.getLogger("dualws").setLevel(logging.CRITICAL)
