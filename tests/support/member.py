"""A person with cookies, as a browser keeps them, who makes requests and opens sockets."""

from __future__ import annotations

import json
import urllib.parse
from typing import Any

from support.crowd import open_socket
from support.raw import RawClient, Response
from support.server import LiveServer


class Member:
    """Somebody who visits *server*.

    :param name: signs in by this name at once; None stays anonymous
    """

    def __init__(self, server: LiveServer, name: str | None = None) -> None:
        self.server = server
        self.name = name
        self.cookies: dict[str, str] = {}
        if name is not None:
            assert self.get("/members/enter/", name=name).status == 200

    @property
    def header(self) -> tuple[str, str]:
        """The Cookie header."""
        return "Cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    @property
    def key(self) -> str:
        """Key of the session."""
        return self.cookies["sessionid"]

    def get(self, path: str, **query: object) -> Response:
        """A page, whose cookies are kept."""
        if query:
            path += "?" + urllib.parse.urlencode(query)
        with self.server.connect() as client:
            fields = (("Host", self.server.netloc), self.header, ("Connection", "close"))
            client.send_request("GET", path, *fields)
            response = client.read_response()
        for value in response.all("Set-Cookie"):
            name, _, rest = value.partition("=")
            self.cookies[name] = rest.partition(";")[0]
        return response

    def session(self, **changes: object) -> Any:
        """What the session holds, after *changes* by HTTP."""
        answer = self.get("/members/cart/", set=json.dumps(changes))
        assert answer.status == 200, answer
        return json.loads(answer.body)

    def open(self, path: str) -> RawClient:
        """A websocket."""
        return open_socket(self.server, path, self.header)
