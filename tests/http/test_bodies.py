"""Request bodies: with a length, in chunks, announced, large, unread."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

import pytest

from support.raw import RawClient
from support.server import LiveServer

MIB = 1024 * 1024


def post(
    client: RawClient, live: LiveServer, target: str, *headers: tuple[str, str], body: bytes = b""
) -> None:
    client.send_request("POST", target, ("Host", live.netloc), *headers, body=body)


def chunked(pieces: Iterable[bytes], end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + end


CHUNKED = ("Transfer-Encoding", "chunked")


def test_a_body_with_a_length(live: LiveServer) -> None:
    with live.connect() as client:
        post(client, live, "/echo/", ("Content-Length", "5"), body=b"hello")
        seen = json.loads(client.read_response().body)
    assert seen["body"] == "hello"
    assert seen["meta"]["CONTENT_LENGTH"] == "5"


def test_a_chunked_body_has_a_content_length_in_django(live: LiveServer) -> None:
    with live.connect() as client:
        for _ in range(2):
            body = chunked([b"hello", b" ", b"world"])
            post(client, live, "/echo/", CHUNKED, body=body)
            seen = json.loads(client.read_response().body)
            assert seen["body"] == "hello world"
            assert seen["meta"]["CONTENT_LENGTH"] == "11"
            assert "HTTP_TRANSFER_ENCODING" not in seen["meta"]


def test_an_empty_chunked_body(live: LiveServer) -> None:
    with live.connect() as client:
        post(client, live, "/echo/", CHUNKED, body=b"0\r\n\r\n")
        seen = json.loads(client.read_response().body)
        assert seen["length"] == 0
        post(client, live, "/echo/?again", ("Content-Length", "0"))
        assert client.read_response().status == 200


def test_chunk_extensions_and_trailers_are_dropped(live: LiveServer) -> None:
    body = b'5;name=value;q="x"\r\nhello\r\n0\r\nX-Trailer: evil\r\nX-Other: t\r\n\r\n'
    with live.connect() as client:
        post(client, live, "/echo/", CHUNKED, body=body)
        seen = json.loads(client.read_response().body)
        assert seen["body"] == "hello"
        assert "HTTP_X_TRAILER" not in seen["meta"]
        post(client, live, "/echo/?again", ("Content-Length", "0"))
        assert client.read_response().status == 200


def test_a_form_in_chunks(live: LiveServer) -> None:
    with live.connect() as client:
        kind = ("Content-Type", "application/x-www-form-urlencoded")
        post(client, live, "/form/", CHUNKED, kind, body=chunked([b"a=1&", b"b=%C3%A4"]))
        assert json.loads(client.read_response().body)["POST"] == {"a": "1", "b": "ä"}


def test_a_file_of_a_form(live: LiveServer) -> None:
    data = bytes(range(256)) * 20_000
    body = (
        b'--b\r\nContent-Disposition: form-data; name="field"\r\n\r\nvalue\r\n'
        b'--b\r\nContent-Disposition: form-data; name="upload"; filename="f.bin"\r\n\r\n'
        + data
        + b"\r\n--b--\r\n"
    )
    with live.connect() as client:
        kind = ("Content-Type", "multipart/form-data; boundary=b")
        post(client, live, "/form/", ("Content-Length", str(len(body))), kind, body=body)
        seen = json.loads(client.read_response().body)
    assert seen["POST"] == {"field": "value"}
    assert seen["FILES"]["upload"] == ["f.bin", len(data), hashlib.sha256(data).hexdigest()]


def test_expect_100_continue(live: LiveServer) -> None:
    with live.connect() as client:
        expects = (("Content-Length", "5"), ("Expect", "100-continue"))
        post(client, live, "/echo/", *expects)
        assert client.read_head().status == 100
        client.send(b"hello")
        assert json.loads(client.read_response().body)["body"] == "hello"
        client.assert_open()


def test_expect_100_continue_with_chunks(live: LiveServer) -> None:
    with live.connect() as client:
        post(client, live, "/echo/", CHUNKED, ("Expect", "100-continue"))
        assert client.read_head().status == 100
        client.send(chunked([b"hello"]))
        assert json.loads(client.read_response().body)["body"] == "hello"


def test_expect_100_continue_when_the_body_came_along(live: LiveServer) -> None:
    """RFC 9110 section 10.1.1: the 100 may then be left out."""
    with live.connect() as client:
        expects = (("Content-Length", "5"), ("Expect", "100-continue"))
        post(client, live, "/echo/", *expects, body=b"hello")
        head = client.read_head()
        if head.status == 100:
            head = client.read_head()
        assert json.loads(client.read_body(head)[0])["body"] == "hello"
        client.assert_open()


def test_http_1_0_gets_no_100(live: LiveServer) -> None:
    """RFC 9110 section 10.1.1: an expectation in HTTP/1.0 is ignored."""
    with live.connect() as client:
        fields = (("Content-Length", "5"), ("Expect", "100-continue"))
        client.send_request("POST", "/echo/", *fields, body=b"hello", version="HTTP/1.0")
        assert client.read_head().status == 200


@pytest.mark.parametrize("size", [1, 1000, 3 * MIB])
def test_an_unread_body_does_not_become_the_next_request(plain: LiveServer, size: int) -> None:
    with plain.connect() as client:
        body = b"GET /evil HTTP/1.1\r\nHost: a\r\n\r\n".ljust(size, b"x")[:size]
        post(client, plain, "/ignores_body", ("Content-Length", str(size)), body=body)
        assert client.read_response().body == b"ignored"
        try:
            post(client, plain, "/echo?second", ("Content-Length", "0"))
            answer = client.read_response()
        except (EOFError, ConnectionError):
            return  # closing is the other right answer
        assert json.loads(answer.body)["QUERY_STRING"] == "second"
        client.assert_open()


def test_an_unread_chunked_body_does_not_become_the_next_request(plain: LiveServer) -> None:
    with plain.connect() as client:
        post(client, plain, "/ignores_body", CHUNKED, body=chunked([b"x" * 100] * 50))
        assert client.read_response().body == b"ignored"
        try:
            post(client, plain, "/echo?second", ("Content-Length", "0"))
            answer = client.read_response()
        except (EOFError, ConnectionError):
            return
        assert json.loads(answer.body)["QUERY_STRING"] == "second"


def test_every_way_to_read_the_input(plain: LiveServer) -> None:
    body = b"12first\nabcdef\nline\nlast\n"
    expected = [b"12", b"first\n", b"abc", b"def\n", [b"line\n", b"last\n"], b"", b"", b""]
    for headers, sent in (
        ((("Content-Length", str(len(body))),), body),
        ((CHUNKED,), chunked([body[:7], body[7:8], body[8:]])),
    ):
        with plain.connect() as client:
            post(client, plain, "/reads", *headers, body=sent)
            assert json.loads(client.read_response().body) == [repr(item) for item in expected]


def _upload(live: LiveServer, size: int, *, in_chunks: bool) -> int:
    """Upload *size* bytes; by how much the server's peak memory grew, in bytes."""
    block = hashlib.sha256(b"block").digest() * 2048
    before = live.peak_rss()
    digest = hashlib.sha256()
    with live.connect() as client:
        post(client, live, "/upload/", CHUNKED if in_chunks else ("Content-Length", str(size)))
        for _ in range(size // len(block)):
            digest.update(block)
            client.send(chunked([block], end=b"") if in_chunks else block)
        if in_chunks:
            client.send(b"0\r\n\r\n")
        seen = json.loads(client.read_response().body)
    assert seen == {
        "length": size,
        "sha256": digest.hexdigest(),
        "CONTENT_LENGTH": str(size),
    }
    return live.peak_rss() - before


@pytest.mark.parametrize("in_chunks", [False, True], ids=["length", "chunks"])
def test_a_large_upload_is_not_held_in_memory(live: LiveServer, in_chunks: bool) -> None:
    _upload(live, MIB, in_chunks=in_chunks)
    growth = _upload(live, 50 * MIB, in_chunks=in_chunks)
    assert growth < 20 * MIB, f"{growth / MIB:.1f} MiB more for an upload of 50 MiB"


def test_a_client_that_leaves_in_its_upload(live: LiveServer) -> None:
    for headers, sent in (
        (("Content-Length", "1000"), b"half"),
        (CHUNKED, b"ff\r\nhalf"),
    ):
        with live.connect() as client:
            post(client, live, "/echo/", headers, body=sent)
            client.reset()
        with live.connect() as client:
            post(client, live, "/echo/", headers, body=sent)
            client.finish_sending()
            rest = client.read_to_end()
            assert rest == b"" or rest.startswith(b"HTTP/1.1 400 ")
            assert b"HTTP/1.1 200" not in rest
    assert live.get("/echo/").status == 200


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_waits_on_disk_past_1_mib(plain: LiveServer, announced: bool) -> None:
    for size, on_disk in ((MIB, False), (MIB + 1, True)):
        with plain.connect() as client:
            if announced:
                length = ("Content-Length", str(size))
                post(client, plain, "/spooled/", length, body=bytes(size))
            else:
                post(client, plain, "/spooled/", CHUNKED, body=chunked([bytes(size)]))
            assert json.loads(client.read_response().body) is on_disk
