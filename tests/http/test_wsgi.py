"""PEP 3333, corner by corner."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.server import LiveServer
from support.timing import eventually


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("coding", ["none", "length", "chunked"])
def test_wsgiref_validate_finds_nothing(
    plain: LiveServer, method: str, version: str, coding: str
) -> None:
    if coding == "chunked" and version == "HTTP/1.0":
        coding = "none"  # HTTP/1.0 has no chunks
    headers, body, length = {
        "none": ((), b"", 0),
        "length": ((("Content-Length", "5"),), b"hello", 5),
        "chunked": ((("Transfer-Encoding", "chunked"),), b"5\r\nhello\r\n0\r\n\r\n", 5),
    }[coding]
    with plain.connect() as client:
        fields = (("Host", plain.netloc), ("Content-Type", "text/plain"), *headers)
        client.send_request(method, "/validated/valid?q=1", *fields, body=body, version=version)
        answer = client.read_response(method)
    assert answer.status == 200
    assert answer.body == (b"" if method == "HEAD" else f"got {length} bytes".encode())


def test_the_environ_is_what_pep_3333_asks_for(plain: LiveServer) -> None:
    environ = json.loads(plain.get("/echo?x=1").body)
    assert environ["type"] == "dict"
    assert environ["wsgi.version"] == [1, 0]
    assert environ["wsgi.run_once"] is False
    assert environ["wsgi.multithread"] in (True, False)
    assert environ["wsgi.multiprocess"] in (True, False)
    assert environ["REQUEST_METHOD"] == "GET"
    assert environ["PATH_INFO"] == "/echo"
    assert environ["QUERY_STRING"] == "x=1"


def test_the_cycle_stays_in_one_thread_or_greenlet(plain: LiveServer) -> None:
    key = "one-thread"
    assert plain.get("/cycle", key=key).body == b"one two three"
    steps = plain.get_json("/notes", key=key, count=6)
    assert [name for name, _ in steps] == ["call", "next", "next", "next", "next", "close"]
    assert len({thread for _, thread in steps}) == 1


def test_two_cycles_at_once_are_in_two_threads_or_greenlets(plain: LiveServer) -> None:
    with plain.connect() as first, plain.connect() as second:
        for client, key in ((first, "first"), (second, "second")):
            client.send_request("GET", f"/waits?key=two-cycles-{key}", ("Host", "a"))
        (one,) = plain.get_json("/notes", key="two-cycles-first")[:1]
        (two,) = plain.get_json("/notes", key="two-cycles-second")[:1]
        assert one[1] != two[1]
        for client, key in ((second, "second"), (first, "first")):
            for _ in range(3):
                plain.get_json("/releases", key=f"two-cycles-{key}")
            assert client.read_response().body == b"one two three"


def test_close_is_called_when_the_client_leaves(plain: LiveServer) -> None:
    key = "leaves"
    client = plain.connect()
    client.send_request("GET", f"/waits?key={key}", ("Host", "a"))
    plain.get_json("/notes", key=key, count=2)
    client.reset()

    def steps_to_the_end() -> Any:
        """Let it go on: it learns that the client has left when it sends something."""
        plain.get_json("/releases", key=key)
        steps = plain.get_json("/notes", key=key, count=0)
        return steps if steps[-1][0] == "close" else None

    steps = eventually(steps_to_the_end, what="close() was not called")
    assert [name for name, _ in steps].count("close") == 1
    assert len({thread for _, thread in steps}) == 1


def test_a_generator_may_start_late_and_yield_nothing(plain: LiveServer) -> None:
    assert plain.get("/generator").body == b"after nothing, and more"


def test_headers_may_change_until_the_first_byte(plain: LiveServer) -> None:
    answer = plain.get("/changes_its_mind")
    assert (answer.status, answer.reason) == (503, "Changed")
    assert answer.get("X-First") is None
    assert answer.body == b"second thoughts"


def test_headers_may_not_change_after_the_first_byte(plain: LiveServer) -> None:
    """The application's own exception comes back to it, and the response is cut."""
    with plain.connect() as client:
        client.send_request("GET", "/too_late?key=too-late", ("Host", "a"))
        assert client.read_head().status == 200
        assert client.read_chunk() == b"first"
        client.assert_closed()
    assert plain.get_json("/notes", key="too-late") == [True]
    plain.expect_traceback("ValueError: too late")


def test_the_write_callable(plain: LiveServer) -> None:
    assert plain.get("/writes").body == b"written, written again, returned"


@pytest.mark.parametrize("path", ["/starts_twice", "/never_starts", "/not_bytes"])
def test_a_broken_application_gets_a_500(plain: LiveServer, path: str) -> None:
    answer = plain.get(path)
    assert answer.status == 500
    assert b"Traceback" not in answer.body
    plain.expect_traceback("Error|Exception")
    assert plain.get("/echo").status == 200


@pytest.mark.parametrize(
    "query",
    [
        {"value": "a\r\nX-Injected: 1"},
        {"value": "a\nX-Injected: 1"},
        {"value": "a\rb"},
        {"value": "a\0b"},
        {"name": "X-A: b\r\nX-Injected"},
        {"name": "with space"},
        {"name": ""},
        {"status": "200 OK\r\nX-Injected: 1"},
        {"status": "2000 Much"},
        {"status": "OK"},
    ],
    ids=str,
)
def test_an_application_cannot_split_the_response(plain: LiveServer, query: dict[str, str]) -> None:
    answer = plain.get("/bad_head", **query)
    assert answer.status == 500
    assert answer.get("X-Injected") is None
    plain.expect_traceback("Error|Exception")


def _wait_for_complaint(plain: LiveServer, length: int) -> None:
    """The server says in its log what is wrong with the application, with a traceback or not."""
    plain.accept_traceback("Content-Length")
    found = plain.stderr.wait_for(rf"(?s)/wrong_length\?length={length}.*Content-Length")
    assert found, "the log does not say that the length is wrong"


def test_fewer_bytes_than_announced_are_cut(plain: LiveServer) -> None:
    with plain.connect() as client:
        client.send_request("GET", "/wrong_length?length=20", ("Host", "a"))
        assert client.read_head().get("Content-Length") == "20"
        assert client.read(10) == b"1234567890"
        client.assert_closed()
    _wait_for_complaint(plain, 20)


def test_more_bytes_than_announced_are_not_sent(plain: LiveServer) -> None:
    with plain.connect() as client:
        client.send_request("GET", "/wrong_length?length=7", ("Host", "a"), ("Connection", "close"))
        assert client.read_head().get("Content-Length") == "7"
        assert b"1234567".startswith(client.read_to_end())
    _wait_for_complaint(plain, 7)


def test_what_is_written_to_wsgi_errors_reaches_the_log(plain: LiveServer) -> None:
    plain.get_json("/logs", key="to-the-log")
    for text in ("written to-the-log", "lines to-the-log"):
        assert plain.stderr.wait_for(text), f"{text!r} is not in the log"
