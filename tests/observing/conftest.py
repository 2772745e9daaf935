"""Servers that are observed, and who asks them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from support.raw import RawClient, Response
from support.samples import samples
from support.server import LiveServer

_FIGURES = re.compile(r"figures on http://127\.0\.0\.1:(\d+)/")

Serve = Callable[..., LiveServer]


class Observed:
    """A server of the test project, and the address where its figures are.

    :param server: the server, started with ``--metrics-bind 127.0.0.1:0``
    """

    def __init__(self, server: LiveServer) -> None:
        self.server = server
        found = server.stderr.wait_for(_FIGURES)
        assert found is not None, server.output()
        self.address = "127.0.0.1", int(found[1])

    def get(self, path: str, *headers: tuple[str, str], method: str = "GET") -> Response:
        """A page of its own endpoint."""
        with RawClient(self.address) as client:
            client.send_request(method, path, ("Host", "figures"), *headers)
            response = client.read_response(method)
            client.assert_closed()
        return response

    def figures(self) -> dict[str, float]:
        """Every sample, by its name with labels as it is written."""
        return samples(self.get("/metrics"))


@pytest.fixture
def observe(serve_app: Serve) -> Callable[..., Observed]:
    """``observe("--option", …)``: the test project, observed."""

    def start(*options: str, **more: object) -> Observed:
        server = serve_app(
            "support.project.wsgi", "--metrics-bind", "127.0.0.1:0", *options, **more
        )
        return Observed(server)

    return start
