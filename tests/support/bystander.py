"""Somebody else's websocket, and visitor, that must notice nothing of what goes wrong meanwhile."""

from __future__ import annotations

import threading
import time
from typing import Protocol

from support.crowd import ask, open_socket
from support.raw import RawClient, Response
from support.timing import TIMEOUT


class Site(Protocol):
    """A server of one process, or of several."""

    netloc: str

    def connect(self) -> RawClient: ...

    def get(self, path: str) -> Response: ...


class Bystander:
    """Talks to an echo without a break; raises at its end whatever went wrong.

    :param server: with a websocket that echoes
    :param path: of that
    :param client: an open websocket with an echo, to talk on instead
    :param slowest: seconds that an answer may take
    """

    def __init__(
        self,
        server: Site,
        path: str = "/echo/",
        *,
        client: RawClient | None = None,
        slowest: float = TIMEOUT / 3,
    ) -> None:
        self._client = client or open_socket(server, path)
        self._slowest = slowest
        self._leaving = threading.Event()
        self._error: BaseException | None = None
        #: answers so far
        self.answers = 0
        self._thread = threading.Thread(target=self._talk, daemon=True)

    def __enter__(self) -> Bystander:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._leaving.set()
        self._thread.join()
        self._client.close()
        if error is None and self._error is not None:
            raise self._error

    def _talk(self) -> None:
        try:
            while not self._leaving.wait(0.01):
                self._ask()
            # Once more, when everything has happened.
            self._ask()
        except BaseException as error:
            self._error = error

    def _ask(self) -> None:
        begun = time.monotonic()
        message = f"{self.answers}"
        assert ask(self._client, message.encode()) == message
        took = time.monotonic() - begun
        assert took < self._slowest, f"an answer took {took:.1f} s"
        self.answers += 1
