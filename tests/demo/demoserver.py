"""``dualws demo`` in a process of its own, and one of the two people as a client of it.

Law: a client is what a browser is to the server: it signs in with the form, keeps its cookie,
sends an Origin.
"""

from __future__ import annotations

import http.cookiejar
import json
import re
import subprocess
import sys
import urllib.parse
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

from support.server import WARNINGS, LiveServer, Output, server_environment
from support.timing import TIMEOUT

PASSWORD = "difference-engine"


class DemoServer(LiveServer):
    """The demo on a free port of this machine.

    :param backend: name of the backend
    :param folder: where it runs, and where its temporary folder is made
    :param options: words after ``--backend NAME``
    :param env: more environment variables
    """

    def __init__(
        self,
        *,
        backend: str,
        folder: Path,
        options: Sequence[str] = ("--bind", "127.0.0.1:0", "--no-browser"),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.application = "dualws demo"
        self.backend = backend
        self.folder = folder
        self.process = subprocess.Popen(
            [
                sys.executable,
                *(word for rule in WARNINGS for word in ("-W", rule)),
                *("-m", "dualws.serving.cli", "demo", "--backend", backend),
                *options,
            ],
            cwd=folder,
            env=server_environment(folder, {"TMPDIR": str(folder), **(env or {})}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.stdout = Output(self.process.stdout)
        self.stderr = Output(self.process.stderr)
        self._checked = 0
        self._expected: list[str] = []
        try:
            announced = self.stdout.wait_for(r"on http://([\d.]+):(\d+) \(([^,]+).*\), Ctrl-C")
            assert announced is not None, "the demo announced no address"
        except BaseException as error:
            self.stop()
            error.add_note(self.output())
            raise
        self.host, self.port = announced[1], int(announced[2])
        #: what it says it runs on
        self.carrier = announced[3]


class Client:
    """One of the two people, signed in.

    :param server: the demo
    :param username: ``ada`` or ``grace``
    """

    def __init__(self, server: DemoServer, username: str) -> None:
        self.server = server
        self.username = username
        self._cookies = http.cookiejar.CookieJar()
        self._browser = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self._cookies)
        )
        self.post("/sign-in/", username=username, password=PASSWORD)
        assert self.cookie("dualws_demo_session"), "not signed in"

    def cookie(self, name: str) -> str:
        """Value of a cookie, empty when there is none."""
        return next((cookie.value or "" for cookie in self._cookies if cookie.name == name), "")

    def get(self, path: str) -> str:
        """The page at *path*, redirects followed."""
        with self._browser.open(self.server.url(path), timeout=TIMEOUT) as answer:
            text: str = answer.read().decode()
        return text

    def post(self, path: str, **fields: str) -> str:
        """Fill in the form of the page at *path*; the page that comes of it."""
        self.get(path)
        fields["csrfmiddlewaretoken"] = self.cookie("csrftoken")
        data = urllib.parse.urlencode(fields).encode()
        with self._browser.open(self.server.url(path), data, timeout=TIMEOUT) as answer:
            text: str = answer.read().decode()
        return text

    def enter(self, room: str = "lobby", since: int = 0) -> Visit:
        """Open the websocket of *room*."""
        return Visit(
            connect(
                self.server.url(f"/rooms/{room}/live/{since}/", "ws"),
                origin=self.server.url(""),
                subprotocols=["chat.v1"],
                additional_headers={
                    "Cookie": f"dualws_demo_session={self.cookie('dualws_demo_session')}"
                },
                open_timeout=TIMEOUT,
                close_timeout=TIMEOUT,
                proxy=None,
                max_size=2**24,
            )
        )


class Visit:
    """An open websocket, and what came over it: every event is kept until it is asked for."""

    def __init__(self, connecting: AbstractContextManager[Any]) -> None:
        self._connecting = connecting
        self.ws = connecting.__enter__()
        self._waiting: list[dict[str, Any]] = []

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Close the websocket, as a tab that is closed does."""
        self._connecting.__exit__(None, None, None)

    def say(self, text: str, key: str | None = None) -> str:
        """Send a message; its key."""
        key = key or str(uuid.uuid4())
        self.ws.send(json.dumps({"text": text, "key": key}))
        return key

    def event(self, kind: str) -> dict[str, Any]:
        """The next event of type *kind*; events of other types wait for their own turn."""
        for index, event in enumerate(self._waiting):
            if event["type"] == kind:
                return self._waiting.pop(index)
        while True:
            event = json.loads(self._next())
            if event["type"] == kind:
                return event
            self._waiting.append(event)

    def _next(self) -> str | bytes:
        return self.ws.recv(TIMEOUT)

    def message(self) -> dict[str, Any]:
        """The next new message."""
        message: dict[str, Any] = self.event("message")["message"]
        return message

    def missed(self) -> list[dict[str, Any]]:
        """The messages that were missed, which is the first that comes."""
        messages: list[dict[str, Any]] = self.event("missed")["messages"]
        return messages

    def until_present(self, room: str, *usernames: str) -> None:
        """Read until exactly *usernames* are in *room*."""
        seen = []
        while True:
            people = self.event("presence")["rooms"].get(room, [])
            seen = [person["username"] for person in people]
            if seen == list(usernames):
                return


def ids_on(page: str) -> list[int]:
    """The ids of the messages on a room's page, in their order."""
    return [int(found) for found in re.findall(r'data-id="(\d+)"', page)]
