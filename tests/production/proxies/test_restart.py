"""Both servers restart, one after the other, under load through each proxy."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
from collections import Counter
from collections.abc import Callable

from production.proxies.sites import Site
from support.crowd import ask, open_socket
from support.frames import CLOSE, build, close_payload, read_frame
from support.proxies import Proxy
from support.raw import ConnectionEnded, RawClient
from support.timing import SCALE, TIMEOUT, eventually

Start = Callable[..., Site]


class Visitor(threading.Thread):
    """Asks for a page again and again until it is told to stop; keeps its connection if it can.

    :param method: GET, which may be repeated, or POST, which may not
    """

    def __init__(self, site: Site, method: str) -> None:
        super().__init__(daemon=True)
        self.site = site
        self.method = method
        self.seen: Counter[object] = Counter()
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                with self.site.connect() as client:
                    self.visit(client)
            except (OSError, ConnectionEnded) as error:
                self.seen[type(error).__name__] += 1

    def visit(self, client: RawClient) -> None:
        """Use one connection for as long as the proxy keeps it."""
        while not self.stopping.is_set():
            length = () if self.method == "GET" else (("Content-Length", "0"),)
            client.send_request(self.method, "/echo/", ("Host", self.site.netloc), *length)
            response = client.read_response()
            self.seen[response.status] += 1
            if response.get("Connection") == "close":
                return

    def stop(self) -> Counter[object]:
        """End it; what it has seen, by status or by the name of an error."""
        self.stopping.set()
        self.join(TIMEOUT)
        return self.seen


def test_a_restart_loses_no_request_that_may_be_repeated(start_site: Start) -> None:
    site = start_site()
    visitors = [Visitor(site, "GET") for _ in range(4)]
    for visitor in visitors:
        visitor.start()

    def all_go_on() -> None:
        before = [visitor.seen[200] for visitor in visitors]
        eventually(
            lambda: all(v.seen[200] > seen + 10 for v, seen in zip(visitors, before, strict=True)),
            what="requests are no longer answered",
        )

    all_go_on()
    for number, port in enumerate(site.ports):
        site.servers[number].signal(signal.SIGTERM)
        assert site.servers[number].wait() == 0
        all_go_on()
        site.servers[number] = site.start_server(port)
        all_go_on()
    seen = sum((visitor.stop() for visitor in visitors), Counter())
    assert set(seen) == {200}, seen


def test_websockets_of_a_restarting_server_move_to_the_other(start_site: Start) -> None:
    site = start_site("--drain-window", str(SCALE))
    with open_socket(site, "/ws/echo/") as client:
        assert ask(client, b"here") == "here"
        number = site.connections().index(1)
        site.servers[number].signal(signal.SIGTERM)
        frame = read_frame(client)
        assert frame.close_code == 1012
        client.send(build(CLOSE, close_payload(1012)))
        client.assert_closed()
    assert site.servers[number].wait() == 0
    with open_socket(site, "/ws/echo/") as client:
        assert ask(client, b"again") == "again"
    site.servers[number] = site.start_server(site.ports[number])


def test_a_server_that_is_back_gets_the_next_websockets(
    start_site: Start, proxied: type[Proxy]
) -> None:
    """Those who count connections fill it up; Traefik only takes turns."""
    site = start_site()
    site.servers[0].signal(signal.SIGTERM)
    assert site.servers[0].wait() == 0
    with contextlib.ExitStack() as opened:

        def open_sockets(count: int) -> None:
            for _ in range(count):
                opened.enter_context(open_socket(site, "/ws/echo/"))

        open_sockets(10)
        site.servers[0] = site.start_server(site.ports[0])
        eventually(
            lambda: json.loads(site.get("/ws/census/").body)[0] == 0,
            what="the proxy does not ask the server that is back",
        )
        open_sockets(8)
        back, stayed = site.connections()
        assert back + stayed == 18
        assert back >= (7 if proxied.counts_connections else 3)
