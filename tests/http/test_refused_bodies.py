"""A request that is refused while its body comes ends there.

Neither it nor what the client sent behind it reaches the application, and it is told once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.raw import RawClient
from support.server import LiveServer, options
from support.timing import SCALE

#: One thread: a request that was given to the application by mistake runs before the next.
LIMITS = {"max_body_size": 100_000, "body_timeout": 0.5 * SCALE, "threads": 1}
#: Bytes of a body that are held in memory where the disk takes none.
IN_MEMORY = 1000
CHUNKED = "Transfer-Encoding", "chunked"


def length(size: int) -> tuple[str, str]:
    return "Content-Length", str(size)


def chunk(size: int) -> bytes:
    return b"%x\r\n%s\r\n" % (size, bytes(size))


#: The body's header, the body, and the status of the answer.
REFUSED: dict[str, tuple[tuple[str, str], bytes, int]] = {
    "too large": (CHUNKED, chunk(100_001) + b"0\r\n\r\n", 413),
    "too large in small chunks": (CHUNKED, chunk(500) * 201 + b"0\r\n\r\n", 413),
    "a bad chunk": (CHUNKED, b"5\r\nhelloo\r\n0\r\n\r\n", 400),
    "a bad size": (CHUNKED, chunk(5) + b"x\r\n0\r\n\r\n", 400),
    "a bad trailer": (CHUNKED, chunk(5) + b"0\r\nno trailer\r\n\r\n", 400),
}
#: The same where the disk takes nothing.
NO_ROOM: dict[str, tuple[tuple[str, str], bytes, int]] = {
    "just too much": (length(IN_MEMORY + 1), bytes(IN_MEMORY + 1), 507),
    "much too much": (length(90_000), bytes(90_000), 507),
    "in chunks": (CHUNKED, chunk(500) * 3 + b"0\r\n\r\n", 507),
}


@pytest.fixture
def limited(share_app: Callable[..., LiveServer]) -> LiveServer:
    """WSGI applications behind strict limits."""
    return share_app("support.apps:application", *options(**LIMITS))


@pytest.fixture
def full(serve_app: Callable[..., LiveServer], tmp_path: Path) -> LiveServer:
    """The same on a machine whose folder for temporary files takes no more."""
    folder = tmp_path / "spool"
    folder.mkdir()
    words = options(**LIMITS, spool_size=IN_MEMORY)
    server = serve_app("support.apps:application", *words, env={"TMPDIR": str(folder)})
    with server.connect() as client:
        # Python looks for the folder once, when it needs one.
        post(client, server, "/spooled", length(IN_MEMORY + 1), bytes(IN_MEMORY + 1))
        assert client.read_response().body == b"true"
    folder.rmdir()
    return server


def post(
    client: RawClient, server: LiveServer, target: str, framing: tuple[str, str], body: bytes = b""
) -> None:
    client.send_request("POST", target, ("Host", server.netloc), framing, body=body)


def behind(key: str) -> bytes:
    """A request right behind a body."""
    return b"GET /cycle?key=%s HTTP/1.1\r\nHost: a\r\n\r\n" % key.encode()


def refuse(
    server: LiveServer, key: str, framing: tuple[str, str], body: bytes, status: int, *, waits: bool
) -> None:
    """Send a request, with its body in the same bytes or once it is asked for.

    The server answers *status*, closes, and calls no application.
    """
    with server.connect() as client:
        target = f"/cycle?key={key}"
        if waits:
            headers = ("Host", server.netloc), framing, ("Expect", "100-continue")
            client.send_request("POST", target, *headers)
            assert client.read_head().status == 100
            client.send(body + behind(key))
        else:
            post(client, server, target, framing, body + behind(key))
        answer = client.read_response()
        assert (answer.status, answer.get("Connection")) == (status, "close")
        client.assert_closed()
    assert server.get_json("/notes", key=key, count=0) == []


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "asked for"])
@pytest.mark.parametrize("name", REFUSED)
def test_it_never_reaches_the_application(
    limited: LiveServer, key: str, name: str, waits: bool
) -> None:
    refuse(limited, key, *REFUSED[name], waits=waits)


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "asked for"])
def test_nor_where_the_disk_takes_nothing(full: LiveServer, key: str, waits: bool) -> None:
    for framing, body, status in NO_ROOM.values():
        start = full.stderr.position
        refuse(full, key, framing, body, status, waits=waits)
        assert full.stderr.wait_for("cannot be kept on disk", start=start)
        assert full.stderr.text(start).count("cannot be kept on disk") == 1
    with full.connect() as client:
        post(client, full, f"/cycle?key={key}", length(IN_MEMORY), bytes(IN_MEMORY))
        assert client.read_response().status == 200


def test_nor_does_the_rest_of_a_body_that_comes_too_late(limited: LiveServer, key: str) -> None:
    with limited.connect() as client:
        post(client, limited, f"/cycle?key={key}", length(10), b"half ")
        assert client.read_response().status == 408
        client.send(b"other" + behind(key))
        client.assert_closed()
    assert limited.get_json("/notes", key=key, count=0) == []
