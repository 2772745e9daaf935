"""Whose turn it is among HTTP connections on gevent."""

from __future__ import annotations

from collections.abc import Iterable

from backends.test_gevent_upgrade import running
from dualws.contract import Environ, StartResponse
from support.raw import RawClient

#: Requests that the greedy client has after its first one.
REQUESTS = 40
HOST = ("Host", "a")


def test_a_client_whose_next_request_is_always_there_does_not_keep_others_waiting() -> None:
    served: list[str] = []
    clients: dict[str, RawClient] = {}

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        served.append(path)
        if path == "/greedy":
            # Before the answer: no read of this connection ever has to wait.
            if served.count(path) <= REQUESTS:
                clients["greedy"].send_request("GET", "/greedy", HOST)
            if served.count(path) == 1:
                clients["modest"].send_request("GET", "/modest", HOST)
        start_response("204 No Content", [])
        return []

    with running(application) as inside, inside.connect() as greedy, inside.connect() as modest:
        clients.update(greedy=greedy, modest=modest)
        modest.send_request("GET", "/ready", HOST)
        modest.read_response()
        greedy.send_request("GET", "/greedy", HOST)
        for _ in range(REQUESTS + 1):
            greedy.read_response()
        modest.read_response()
    assert served.count("/greedy") == REQUESTS + 1
    # Behind the request that let it begin, and at most one that was there at the same time.
    assert served.index("/modest") <= served.index("/greedy") + 2
