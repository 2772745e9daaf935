"""Responses: HEAD, empty ones, repeated headers, large, streamed and of files."""

from __future__ import annotations

import email.utils
import hashlib
import json
import time

import pytest

from support.raw import RawClient
from support.server import LiveServer
from support.timing import TIMEOUT, eventually

MIB = 1024 * 1024
BLOCK = bytes(range(256)) * 256


def ask(client: RawClient, live: LiveServer, target: str, method: str = "GET") -> None:
    client.send_request(method, target, ("Host", live.netloc))


def digest_of_blocks(size: int) -> str:
    digest = hashlib.sha256()
    for start in range(0, size, len(BLOCK)):
        digest.update(BLOCK[: size - start])
    return digest.hexdigest()


@pytest.mark.parametrize(
    "target",
    ["/echo/", "/large/?size=100000", "/large/?size=100000&whole=1", "/file/?size=70000"],
)
def test_head_has_the_headers_and_no_body(live: LiveServer, target: str) -> None:
    with live.connect() as client:
        ask(client, live, target)
        get = client.read_response()
        for _ in range(2):
            ask(client, live, target, "HEAD")
            head = client.read_response("HEAD")
            assert head.status == get.status == 200
            if target != "/echo/":
                assert head.get("Content-Length") in (None, get.get("Content-Length"))
            assert head.get("Content-Type") == get.get("Content-Type")
        client.assert_open()
        ask(client, live, "/echo/?after-head")
        assert json.loads(client.read_response().body)["query"] == "after-head"


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("body", ["", "ignored"])
def test_statuses_without_a_body(live: LiveServer, status: int, body: str) -> None:
    with live.connect() as client:
        for method in ("GET", "HEAD"):
            ask(client, live, f"/status/{status}/?body={body}", method)
            assert client.read_response(method).status == status
        client.assert_open()


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_a_length_that_does_not_belong_is_not_sent(plain: LiveServer, status: str) -> None:
    with plain.connect() as client:
        ask(client, plain, f"/bodyless?status={status.replace(' ', '+')}")
        assert client.read_response().status == int(status[:3])
        client.assert_open()


def test_two_cookies_are_two_headers(live: LiveServer) -> None:
    answer = live.get("/cookies/")
    assert [value.split(";")[0] for value in answer.all("Set-Cookie")] == ["first=1", "second=2"]


def test_repeated_headers_keep_their_order(plain: LiveServer) -> None:
    answer = plain.get("/repeats")
    assert answer.all("Set-Cookie") == ["a=1", "b=2"]
    assert answer.all("X-Other") == ["x", "y"]


def test_the_date_is_sent_once_and_right(live: LiveServer) -> None:
    date = live.get("/echo/").get("Date")
    assert date is not None
    sent = email.utils.parsedate_to_datetime(date).timestamp()
    assert abs(time.time() - sent) < TIMEOUT


def test_a_response_of_one_piece_has_a_length(plain: LiveServer) -> None:
    answer = plain.get("/repeats")
    assert answer.get("Content-Length") == "2"
    assert answer.get("Transfer-Encoding") is None


def test_streaming_reaches_the_client_as_it_is_produced(live: LiveServer) -> None:
    with live.connect() as client:
        ask(client, live, "/stream/?key=streaming&count=3")
        head = client.read_head()
        assert head.get("Transfer-Encoding") == "chunked"
        assert client.read_chunk() == b"chunk 1\n"
        for number in (2, 3):
            client.assert_open()
            live.get_json("/release/", key="streaming")
            assert client.read_chunk() == f"chunk {number}\n".encode()
        assert client.read_chunk() == b""
        client.assert_open()


def test_streaming_to_http_1_0(live: LiveServer) -> None:
    with live.connect() as client:
        client.send_request("GET", "/stream/?key=old&count=2", version="HTTP/1.0")
        client.read_head()
        assert client.read(8) == b"chunk 1\n"
        live.get_json("/release/", key="old")
        assert client.read_to_end() == b"chunk 2\n"


@pytest.mark.parametrize("form", ["", "&whole=1"], ids=["streamed", "whole"])
def test_a_large_response_arrives_whole(live: LiveServer, form: str) -> None:
    answer = live.get(f"/large/?size={20 * MIB + 1}{form}")
    assert hashlib.sha256(answer.body).hexdigest() == digest_of_blocks(20 * MIB + 1)


def test_a_slow_reader_holds_the_view_back(live: LiveServer) -> None:
    """The server must not run ahead of the client and fill its memory."""
    live.get(f"/large/?size={MIB}")
    size = 50 * MIB
    before = live.peak_rss()
    with RawClient(live.address, receive_buffer=64 * 1024) as client:
        ask(client, live, f"/large/?size={size}&key=slow-reader")
        head = client.read_head()
        # Meanwhile everybody else is served.
        for _ in range(20):
            assert live.get("/users/").status == 200
        assert live.get_json("/notes/", key="slow-reader", count=0) == []
        digest = hashlib.sha256()
        while chunk := client.read_chunk():
            digest.update(chunk)
        assert head.status == 200
        assert digest.hexdigest() == digest_of_blocks(size)
    growth = live.peak_rss() - before
    assert growth < 20 * MIB, f"{growth / MIB:.1f} MiB more for a response of 50 MiB"


def test_a_client_that_leaves_in_the_response(live: LiveServer) -> None:
    """The view's iterator is closed, and the server goes on."""
    client = live.connect()
    ask(client, live, "/endless/?key=leaves")
    client.read_head()
    client.read_chunk()
    client.reset()
    (noted,) = live.get_json("/notes/", key="leaves")
    assert noted["sent"] < 50 * MIB
    assert live.get("/echo/").status == 200


def test_a_client_that_leaves_between_two_chunks(live: LiveServer) -> None:
    key = "leaves-between"
    client = live.connect()
    ask(client, live, f"/stream/?key={key}&count=100000")
    client.read_head()
    assert client.read_chunk() == b"chunk 1\n"
    client.reset()

    def closed() -> bool:
        live.get_json("/release/", key=key)
        return "close" in [name for name, _ in live.get_json("/notes/", key=key, count=0)]

    eventually(closed, what="close() of the iterator was not called")


def test_a_client_that_leaves_at_once(live: LiveServer) -> None:
    for _ in range(20):
        client = live.connect()
        ask(client, live, "/large/?size=3000000")
        client.reset()
    assert live.get("/echo/").status == 200


@pytest.mark.parametrize("size", [0, 1, 70_000, 5 * MIB])
def test_a_file_response(live: LiveServer, size: int) -> None:
    answer = live.get("/file/", size=size)
    assert answer.get("Content-Length") == str(size)
    assert "gr%C3%B6%C3%9Fe.bin" in (answer.get("Content-Disposition") or "")
    assert hashlib.sha256(answer.body).hexdigest() == digest_of_blocks(size)


def test_the_file_wrapper(plain: LiveServer) -> None:
    answer = plain.get("/wraps_file")
    assert answer.status == 200
    assert b"def wraps_file" in answer.body
