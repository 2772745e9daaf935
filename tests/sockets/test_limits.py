"""Limits of connections: in all, of an address, and in their handshake."""

from __future__ import annotations

from collections.abc import Callable

from support import frames
from support.crowd import open_socket
from support.frames import TEXT, build, read_frame
from support.raw import RawClient, Response
from support.server import LiveServer, options
from support.timing import eventually

Serve = Callable[..., LiveServer]
PROJECT = "support.project.wsgi"
#: Not the address that the tests' own requests come from.
ELSEWHERE = "127.0.0.2"


def start(serve_app: Serve, **limits: float) -> LiveServer:
    return serve_app(PROJECT, *options(**limits))


def refused(client: RawClient, status: int) -> Response:
    """The server answers with *status* and says when to come again."""
    answer = client.read_response()
    assert answer.status == status, answer
    assert answer.get("Retry-After") == "5"
    return answer


def asked(server: LiveServer, path: str, source: str | None = None) -> int:
    """The status of a handshake, whose connection is closed."""
    with server.connect(source=source) as client:
        return frames.handshake(client, path, server.netloc).status


def test_connections_over_the_limit_are_told_so(serve_app: Serve) -> None:
    server = start(serve_app, max_connections=3)
    first, second = open_socket(server, "/ws/echo/"), open_socket(server, "/ws/echo/")
    with first, second, server.connect() as idle:
        idle.send_request("GET", "/status/200/", ("Host", server.netloc))
        assert idle.read_response().status == 200
        for _ in range(2):
            with server.connect() as further:
                further.send_request("GET", "/status/200/", ("Host", server.netloc))
                assert b"too many connections" in refused(further, 503).body
                further.assert_closed()
        first.send(build(TEXT, b"still here"))
        assert read_frame(first).payload == b"still here"
    eventually(lambda: server.get("/status/200/").status == 200, what="there is room again")
    assert server.stderr.wait_for("refusing connections with 503: there are max_connections=3")


def test_connections_of_an_address_over_the_limit_are_told_so(serve_app: Serve) -> None:
    server = start(serve_app, max_connections_per_address=2)
    one = open_socket(server, "/ws/echo/", by=server.connect(source=ELSEWHERE))
    with one, open_socket(server, "/ws/async/", by=server.connect(source=ELSEWHERE)):
        for upgrade in True, False:
            with server.connect(source=ELSEWHERE) as further:
                if upgrade:
                    further.send_request(
                        "GET",
                        "/ws/echo/",
                        ("Host", server.netloc),
                        ("Upgrade", "websocket"),
                        ("Connection", "Upgrade"),
                        ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
                        ("Sec-WebSocket-Version", "13"),
                    )
                else:
                    further.send_request("GET", "/status/200/", ("Host", server.netloc))
                refused(further, 429)
        assert asked(server, "/ws/echo/") == 101
        one.close()
        eventually(lambda: asked(server, "/ws/echo/", ELSEWHERE) == 101, what="one has left")
    assert server.stderr.wait_for(f"refusing {ELSEWHERE} with 429")


def test_requests_of_an_address_leave_again(serve_app: Serve) -> None:
    server = start(serve_app, max_connections_per_address=1, max_handshakes=1)
    for path in ["/status/200/", "/large/?size=100000", "/status/404/"] * 3:
        with server.connect(source=ELSEWHERE) as client:
            client.send_request("GET", path, ("Host", server.netloc))
            assert client.read_response().status in (200, 404)
    for path in ["/ws/refuse/403/", "/ws/refuse-by-crash/", "/ws/inside/", "/ws/inspect/"] * 2:
        with server.connect() as client:
            assert frames.handshake(client, path, server.netloc).status != 503
    server.expect_traceback("refused by a bug")


def test_handshakes_over_the_limit_are_told_so(serve_app: Serve, key: str) -> None:
    server = start(serve_app, max_handshakes=1)
    with open_socket(server, "/ws/echo/"), server.connect() as waiting:
        waiting.send_request(
            "GET",
            f"/ws/slow/doubtful/?key={key}",
            ("Host", server.netloc),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
            ("Sec-WebSocket-Version", "13"),
        )
        server.get_json("/notes/", key=key)
        assert asked(server, "/ws/echo/") == 503
        server.get_json("/release/", key=key)
        assert waiting.read_head().status == 101
        with open_socket(server, "/ws/inside/") as inside:
            inside.send(build(TEXT, b"accepted"))
            assert read_frame(inside).payload == b"accepted"
            assert asked(server, "/ws/echo/") == 101
    assert server.stderr.wait_for("max_handshakes=1 are under way")


def test_a_blocking_view_without_a_place_answers_503(serve_app: Serve) -> None:
    """Where a blocking view takes a thread there are so many places; a greenlet needs none."""
    server = start(serve_app, max_blocking_handlers=1)
    with open_socket(server, "/ws/echo/"), server.connect() as second:
        head = frames.handshake(second, "/ws/echo/", server.netloc)
        if server.backend == "gevent":
            assert head.status == 101
        else:
            assert (head.status, head.get("Retry-After")) == (503, "5")
            # Nothing else needs a place.
            with open_socket(server, "/ws/async/"), open_socket(server, "/ws/events/"):
                assert server.get("/echo/").status == 200

    def has_place() -> bool:
        with server.connect() as client:
            return frames.handshake(client, "/ws/echo/", server.netloc).status == 101

    eventually(has_place, what="the place is not given back")
