"""What a websocket does, said once: in process, and on the wire of both backends.

``test_testing.py`` runs this module with Django's test runner in a process of its own. Law: a
scenario knows :class:`Socket` and nothing of what is behind it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.test import TestCase, override_settings
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from dualws.testing import WebSocketClient, WebSocketLiveServerTestCase, WebSocketRefused
from support.frames import handshake
from support.raw import RawClient
from support.timing import TIMEOUT

STYLES = ("/ws/echo/", "/ws/events/", "/ws/ws4py/", "/ws/async/", "/ws/inside/")


class Socket(Protocol):
    """A client's end, in memory or on the wire."""

    @property
    def subprotocol(self) -> str | None: ...

    @property
    def close_code(self) -> int | None: ...

    @property
    def close_reason(self) -> str: ...

    def send(self, data: Any, /) -> None: ...

    def receive(self) -> str | bytes: ...

    def receive_close(self) -> int: ...

    def close(self, code: int = 1000, reason: str = "") -> None: ...

    def ping(self, data: bytes = b"") -> None: ...


class Wire:
    """:class:`Socket` with the client of the library websockets."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.subprotocol: str | None = connection.subprotocol

    @property
    def close_code(self) -> int | None:
        return self._connection.close_code

    @property
    def close_reason(self) -> str:
        return self._connection.close_reason or ""

    def send(self, data: Any, /) -> None:
        self._connection.send(data)

    def receive(self) -> str | bytes:
        return self._connection.recv(timeout=TIMEOUT)

    def receive_close(self) -> int:
        try:
            message = self._connection.recv(timeout=TIMEOUT)
        except ConnectionClosed:
            assert self.close_code is not None
            return self.close_code
        raise AssertionError(f"a message came instead: {message!r}")

    def close(self, code: int = 1000, reason: str = "") -> None:
        self._connection.close(code, reason)

    def ping(self, data: bytes = b"") -> None:
        assert self._connection.ping(data or None).wait(TIMEOUT)


class Scenarios:
    """The scenarios; :meth:`open` and :meth:`refusal` are the way there."""

    client: WebSocketClient

    def open(self, path: str, **options: Any) -> AbstractContextManager[Socket]:
        raise NotImplementedError

    def refusal(self, path: str, **options: Any) -> tuple[int, str | None]:
        """Status and Location of the answer."""
        raise NotImplementedError

    def test_echo_in_every_style(self) -> None:
        for path in STYLES:
            with self.open(path) as ws:
                for message in ("text", "", "ü" * 70_000, b"", b"\0\xff" * 400):
                    ws.send(message)
                    assert ws.receive() == message, path
                ws.send(iter(("in ", "three ", "chunks")))
                assert ws.receive() == "in three chunks", path
                ws.ping(b"are you there")

    def test_close_codes_of_the_client(self) -> None:
        for path in STYLES:
            with self.open(path) as ws:
                ws.send("x")
                assert ws.receive() == "x"
                ws.close(4321, "why")
            assert (ws.close_code, ws.close_reason) == (4321, "why"), path

    def test_close_codes_of_the_server(self) -> None:
        for sent, code, reason in [("1000", 1000, ""), ("4001 bye", 4001, "bye")]:
            with self.open("/ws/bye/?key=bye") as ws:
                ws.send(sent)
                assert ws.receive_close() == code
                assert ws.close_reason == reason
        with self.open("/ws/returns/") as ws:
            assert ws.receive() == "first and last"
            assert ws.receive_close() == 1000

    def test_a_message_too_big(self) -> None:
        with self.open("/ws/echo/") as ws:
            ws.send("x" * (1024 * 1024 + 1))
            assert ws.receive_close() == 1009

    def test_subprotocols(self) -> None:
        for offered, chosen in [(["chat.v2", "chat.v1"], "chat.v2"), (["other"], None)]:
            with self.open("/ws/echo/", subprotocols=offered) as ws:
                assert ws.subprotocol == chosen

    def test_refusals(self) -> None:
        assert self.refusal("/ws/refuse/403/") == (403, None)
        assert self.refusal("/ws/refuse/302/") == (302, "/elsewhere/")
        assert self.refusal("/ws/nowhere/") == (404, None)
        assert self.refusal("/ws/members/") == (302, "/sign-in/?next=/ws/members/")
        assert self.refusal("/permitted/") == (403, None)
        assert self.refusal("/ws/echo/", origin="https://elsewhere.example") == (403, None)

    def test_login_and_session(self) -> None:
        user = get_user_model().objects.create_user("ada")
        self.client.force_login(user)
        session = self.client.session
        session["cart"] = ["tea"]
        session.save()
        with self.open("/ws/members/") as ws:
            assert ws.receive() == "ada"
        with self.open("/ws/report/word/?a=1", headers={"X-Test": "yes"}) as ws:
            report = json.loads(ws.receive())
        assert report["user"] == "ada"
        assert report["cart"] == ["tea"]
        assert report["query"] == {"a": "1"}
        assert report["users"] == 1
        with self.open("/state/", headers={"X-Test": "yes"}) as ws:
            ws.send("?")
            known = json.loads(ws.receive())
        assert known["header"] == "yes"
        assert known["user"] == "ada"
        assert not known["draining"]
        assert not known["closed"]
        assert known["code"] is None
        assert known["reason"] == ""
        assert not known["secure"]

    def test_the_database_is_the_same(self) -> None:
        for number, path in enumerate(("/users/", "/users/events/", "/users/async/")):
            get_user_model().objects.create_user(f"test-{number}")
            with self.open(path) as ws:
                ws.send(f"handler-{number}")
                assert json.loads(ws.receive()) == 2 * number + 2
            assert get_user_model().objects.filter(username=f"handler-{number}").exists()
        assert json.loads(self.client.get("/page/").content) == {"users": 6}

    def test_topics(self) -> None:
        path = "/ws/topic/?topic=scenario"
        with self.open(path) as one, self.open(path) as two:
            for ws in (one, two):
                assert ws.receive() == "subscribed"
            one.send("to all")
            for ws in (one, two):
                assert ws.receive() == "to all"

    def test_json(self) -> None:
        for path in ("/json/", "/json/async/"):
            with self.open(path) as ws:
                for value in (None, 5, "ü", ["\ud800"], {"a": [1.5, True]}):
                    ws.send(json.dumps(value))
                    assert json.loads(ws.receive()) == {"value": value}
                ws.send(b'{"binary": "\xc3\xa9"}')
                assert json.loads(ws.receive()) == {"value": {"binary": "é"}}
                for bad in ("", "{", "NaN", "[" * 100_000, "9" * 10_000, b"\xff\xfe\xfd"):
                    ws.send(bad)
                    answer = ws.receive()
                    assert str(answer).startswith("invalid: "), answer
                    assert len(answer) < 300
                ws.send("[1, }")
                assert ws.receive() == (
                    "invalid: not JSON: Expecting value at line 1, column 5 of '[1, }'"
                )

    def test_json_that_is_none_is_the_clients_mistake(self) -> None:
        for path in ("/json/careless/", "/json/careless/events/"):
            with self.open(path) as ws:
                ws.send("{")
                assert ws.receive_close() == 1007
                assert ws.close_reason.startswith("not ")

    def test_json_of_django(self) -> None:
        with self.open("/json/rich/") as ws:
            assert json.loads(ws.receive()) == {
                "day": "2026-11-22",
                "id": "00000000-0000-0000-0000-000000000005",
            }
            assert [ws.receive(), ws.receive()] == ["ValueError", "TypeError"]

    def test_fragments(self) -> None:
        for path in ("", "uncompressed/", "events/", "async/"):
            with self.open(f"/fragments/{path}") as ws:
                for kind, whole in [
                    ("text", "one, zwei — trois"),
                    ("large", "0123456789" * 20_000),
                    ("bytes", b"\0\1\2\3"),
                    ("one", "alone"),
                    ("none", ""),
                    ("early", "ZeroDivisionError: before the first chunk"),
                ]:
                    ws.send(kind)
                    assert ws.receive() == whole, (path, kind)

    def test_a_message_under_way_is_not_interrupted(self) -> None:
        with self.open("/fragments/interrupted/") as ws:
            assert ws.receive() == "beginning"
            assert ws.receive() == "published"
            assert ws.receive() == "sent" * 1000
            assert ws.receive() == "end"
        with self.open("/fragments/two/") as ws:
            assert ws.receive() == "first"
            assert ws.receive() == "second"


@override_settings(ROOT_URLCONF="testing.views")
class InProcess(Scenarios, TestCase):
    """In memory, inside the transaction of a TestCase."""

    client_class = WebSocketClient
    client: WebSocketClient

    def open(self, path: str, **options: Any) -> AbstractContextManager[Socket]:
        return self.client.websocket(path, **options)

    def refusal(self, path: str, **options: Any) -> tuple[int, str | None]:
        with pytest.raises(WebSocketRefused) as caught:
            self.client.websocket(path, **options)
        response = caught.value.response
        return response.status_code, response.get("Location")


class OnTheWire(Scenarios):
    """On a live server, with another library's client."""

    live_server_ws_url: str
    client: WebSocketClient

    @contextmanager
    def open(self, path: str, **options: Any) -> Iterator[Socket]:
        with self._connect(path, **options) as connection:
            yield Wire(connection)

    def refusal(self, path: str, **options: Any) -> tuple[int, str | None]:
        host, _, port = self.live_server_ws_url.removeprefix("ws://").rpartition(":")
        origin = options.get("origin")
        headers = [("Cookie", self._cookies()), *([("Origin", origin)] if origin else [])]
        # Not with a library: they follow redirects.
        with RawClient((host, int(port))) as client:
            head = handshake(client, path, f"{host}:{port}", *headers)
        return head.status, head.get("Location")

    def _cookies(self) -> str:
        return "; ".join(f"{m.key}={m.value}" for m in self.client.cookies.values())

    def _connect(self, path: str, **options: Any) -> ClientConnection:
        headers = dict(options.pop("headers", {}))
        headers["Cookie"] = self._cookies()
        return connect(
            self.live_server_ws_url + path,
            additional_headers=headers,
            max_size=None,
            proxy=None,
            **options,
        )


@override_settings(ROOT_URLCONF="testing.views")
class OnTornado(OnTheWire, WebSocketLiveServerTestCase):
    """On Tornado's wire."""

    backend = "tornado"


@override_settings(ROOT_URLCONF="testing.views")
class OnGevent(OnTheWire, WebSocketLiveServerTestCase):
    """On gevent's wire."""

    backend = "gevent"


def groups() -> list[str]:
    """Names of the groups that are stored."""
    return sorted(Group.objects.values_list("name", flat=True))
