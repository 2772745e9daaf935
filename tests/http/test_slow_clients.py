"""Requests that are too large, or come too slowly, and clients that do not read their answer."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from support.raw import ConnectionEnded, RawClient
from support.server import LiveServer, options
from support.timing import SCALE, TIMEOUT, eventually

#: Seconds of every time limit of the server here.
LIMIT = 0.5 * SCALE
OPTIONS = options(
    header_timeout=LIMIT,
    body_timeout=LIMIT,
    body_min_rate=2000,
    http_idle_timeout=LIMIT,
    response_timeout=LIMIT,
    max_headers=20,
    max_body_size=100_000,
)


@pytest.fixture
def limited(share_app: Callable[..., LiveServer]) -> LiveServer:
    """The test project with strict limits."""
    return share_app("support.project.wsgi", *OPTIONS)


def refused(client: RawClient, status: int) -> None:
    """The server answers with *status* and closes."""
    answer = client.read_response()
    assert answer.status == status, answer
    assert answer.get("Connection") == "close"
    client.assert_closed()


def drip(client: RawClient, data: bytes, pause: float) -> None:
    """Send byte by byte until all is sent or the server answers."""
    client.sock.settimeout(pause)
    try:
        for byte in data:
            client.send(bytes([byte]))
            try:
                if client.fill():
                    break
            except TimeoutError:
                pass
    finally:
        client.sock.settimeout(TIMEOUT)


def test_a_head_byte_by_byte_has_a_time_limit(limited: LiveServer) -> None:
    began = time.monotonic()
    with limited.connect() as client:
        drip(client, b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: " + b"x" * 1000, LIMIT / 10)
        refused(client, 408)
    assert time.monotonic() - began < 10 * LIMIT


def test_a_body_that_stops_coming_has_a_time_limit(limited: LiveServer) -> None:
    for headers in [("Content-Length", "100")], [("Transfer-Encoding", "chunked")]:
        with limited.connect() as client:
            client.send_request("POST", "/upload/", ("Host", "a"), *headers, body=b"5\r\n")
            refused(client, 408)


def test_a_body_byte_by_byte_is_too_slow(limited: LiveServer) -> None:
    with limited.connect() as client:
        client.send_request("POST", "/upload/", ("Host", "a"), ("Content-Length", "10000"))
        drip(client, b"x" * 10_000, LIMIT / 10)
        refused(client, 408)


def test_a_slow_body_above_the_rate_is_taken(limited: LiveServer) -> None:
    with limited.connect() as client:
        client.send_request(
            "POST", "/upload/", ("Host", limited.netloc), ("Content-Length", "20000")
        )
        for _ in range(3):
            client.send(b"x" * 5000)
            client.assert_open()
        client.send(b"x" * 5000)
        assert client.read_response().status == 200


def test_idle_connections_are_closed_without_a_word(limited: LiveServer) -> None:
    with limited.connect() as mute, limited.connect() as kept:
        kept.send_request("GET", "/status/200/", ("Host", limited.netloc))
        assert kept.read_response().status == 200
        mute.assert_closed()
        kept.assert_closed()


def test_a_client_that_reads_nothing_is_given_up(limited: LiveServer, key: str) -> None:
    start = limited.stderr.position
    with RawClient(limited.address, receive_buffer=4096) as client:
        client.send_request("GET", f"/endless/?key={key}", ("Host", limited.netloc))
        limited.get_json("/notes/", key=key)
    assert limited.stderr.wait_for("response .*is cut: the client takes nothing", start=start)


def test_the_last_of_a_response_is_not_waited_for_without_end(limited: LiveServer) -> None:
    """The application is done: what is left waits in the server alone."""
    with RawClient(limited.address, receive_buffer=4096) as client:
        start = limited.stderr.position
        client.send_request("GET", "/large/?size=4000000&whole=1", ("Host", limited.netloc))
        assert limited.stderr.wait_for("is cut: the client takes nothing", start=start)
        with pytest.raises((ConnectionEnded, ConnectionResetError)):
            client.read_response()


def test_a_client_that_reads_slowly_gets_all(limited: LiveServer) -> None:
    began = time.monotonic()
    with RawClient(limited.address, receive_buffer=4096) as client:
        client.send_request("GET", "/large/?size=6000000&whole=1", ("Host", limited.netloc))
        head = client.read_head()
        read = 0
        while time.monotonic() - began < 4 * LIMIT:
            read += len(client.read(20_000))
            time.sleep(LIMIT / 20)
        rest = 6_000_000 - read
        assert rest > 0, "too fast to prove anything"
        assert head.get("Content-Length") == "6000000"
        assert len(client.read(rest)) == rest


def test_too_many_headers_are_431(limited: LiveServer) -> None:
    headers = [(f"X-{number}", "1") for number in range(19)]
    with limited.connect() as client:
        client.send_request("GET", "/status/200/", ("Host", limited.netloc), *headers)
        assert client.read_response().status == 200
        client.send_request("GET", "/status/200/", ("Host", limited.netloc), *headers, ("X", "1"))
        refused(client, 431)


def test_a_body_over_the_limit_is_413_before_it_is_sent(limited: LiveServer) -> None:
    for more in (), (("Expect", "100-continue"),):
        with limited.connect() as client:
            size = ("Content-Length", "100001")
            client.send_request("POST", "/upload/", ("Host", limited.netloc), size, *more)
            refused(client, 413)


def test_a_body_in_chunks_over_the_limit_is_413(limited: LiveServer) -> None:
    with limited.connect() as client:
        coding = ("Transfer-Encoding", "chunked")
        client.send_request("POST", "/upload/", ("Host", limited.netloc), coding)
        client.send(b"c350\r\n" + bytes(50_000) + b"\r\n" + b"c351\r\n" + bytes(50_001) + b"\r\n")
        refused(client, 413)


def test_a_body_at_the_limit_is_taken(limited: LiveServer) -> None:
    with limited.connect() as client:
        size = ("Content-Length", "100000")
        client.send_request("POST", "/upload/", ("Host", limited.netloc), size, body=bytes(100_000))
        assert client.read_response().status == 200


def test_others_are_served_while_many_are_slow(limited: LiveServer) -> None:
    slow = [limited.connect() for _ in range(50)]
    for client in slow:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
    assert limited.get("/status/200/").status == 200
    for client in slow:
        refused(client, 408)
        client.close()
    eventually(lambda: limited.get("/status/200/").status == 200, what="it answers")
