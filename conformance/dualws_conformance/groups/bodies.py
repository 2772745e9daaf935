"""Request bodies: lengths, chunks, 100-continue, large ones, and clients that leave halfway."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from dualws_conformance.kit import Kit
from dualws_conformance.model import add, case, check, equal
from dualws_conformance.promises import STOPPING

GROUP = "bodies"
CHUNKED = ("Transfer-Encoding", "chunked")


def post(kit: Kit, body: bytes, *fields: tuple[str, str]) -> dict[str, Any]:
    """What the application saw of a request with *body* as it goes over the wire."""
    client = kit.connect()
    client.request("POST", "/echo/", ("Host", kit.host), *fields, body=body)
    answer = client.response()
    equal(answer.status, 200, "the status")
    client.request("GET", "/status/201/", ("Host", kit.host))
    equal(client.response().status, 201, "the status of the next answer on the connection")
    found: dict[str, Any] = json.loads(answer.body)
    return found


for size in (0, 1, 65535, 65536, 65537, 1_000_000):

    def sized(kit: Kit, size: int = size) -> None:
        body = bytes(range(251)) * (size // 251 + 1)
        seen = post(kit, body[:size], ("Content-Length", str(size)))
        equal(seen["length"], size, "the length of the body")
        equal(seen["sha256"], hashlib.sha256(body[:size]).hexdigest(), "the digest of the body")

    add(GROUP, f"length-{size}", "RFC 9112 6.2", f"a body of {size} bytes arrives whole", sized)

for name, wire, whole in (
    ("simple", b"5\r\nhello\r\n0\r\n\r\n", "hello"),
    ("pieces", b"1\r\nh\r\n4\r\nello\r\n0\r\n\r\n", "hello"),
    ("empty", b"0\r\n\r\n", ""),
    ("capital-size", b"A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
    ("small-size", b"a\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
    ("leading-zeros", b"0005\r\nhello\r\n000\r\n\r\n", "hello"),
    ("crlf-inside", b"9\r\na\r\n0\r\n\r\nb\r\n0\r\n\r\n", "a\r\n0\r\n\r\nb"[:9]),
):

    def chunks(kit: Kit, wire: bytes = wire, whole: str = whole) -> None:
        seen = post(kit, wire, CHUNKED)
        equal(seen["body"], whole, "the body")
        equal(seen["meta"].get("CONTENT_LENGTH"), str(len(whole)), "CONTENT_LENGTH")

    add(GROUP, f"chunked-{name}", "RFC 9112 7.1", f"a chunked body ({name}) is de-chunked", chunks)


@case(GROUP, "RFC 9112 7.1.2", "trailers are accepted and kept from the environ")
def trailers(kit: Kit) -> None:
    body = b"5\r\nhello\r\n0\r\nX-Trailer: 1\r\nContent-Length: 99\r\n\r\n"
    client = kit.connect()
    client.request("POST", "/echo/", ("Host", kit.host), CHUNKED, body=body)
    answer = client.response()
    if answer.status == 400:
        return
    seen = json.loads(answer.body)
    equal(seen["meta"].get("CONTENT_LENGTH"), "5", "CONTENT_LENGTH")
    check("HTTP_X_TRAILER" not in seen["keys"], "a trailer is in the environ")


@case(GROUP, "RFC 9112 7.1.1", "chunk extensions are ignored or refused, never part of the body")
def extensions(kit: Kit) -> None:
    client = kit.connect()
    body = b"5;name=value\r\nhello\r\n0;last\r\n\r\n"
    client.request("POST", "/echo/", ("Host", kit.host), CHUNKED, body=body)
    answer = client.response()
    if answer.status != 400:
        equal(json.loads(answer.body)["body"], "hello", "the body")


@case(GROUP, "RFC 9112 7.1", "a large chunked body arrives whole")
def large_chunks(kit: Kit) -> None:
    data = b"0123456789abcdef" * 4096
    wire = b"".join(b"10000\r\n" + data + b"\r\n" for _ in range(16)) + b"0\r\n\r\n"
    seen = post(kit, wire, CHUNKED)
    equal(seen["sha256"], hashlib.sha256(data * 16).hexdigest(), "the digest of the body")


@case(GROUP, "RFC 9110 10.1.1", "Expect: 100-continue is answered before the body is sent")
def expect_continue(kit: Kit) -> None:
    client = kit.connect()
    fields = (("Host", kit.host), ("Content-Length", "5"), ("Expect", "100-continue"))
    client.request("POST", "/echo/", *fields)
    interim = client.read_head()
    equal(interim.status, 100, "the interim status")
    equal(interim.fields, (), "the fields of the interim response")
    client.send(b"hello")
    equal(json.loads(client.response().body)["body"], "hello", "the body")


@case(GROUP, "RFC 9110 10.1.1", "an HTTP/1.0 request gets no 100 Continue")
def no_continue_for_1_0(kit: Kit) -> None:
    client = kit.connect()
    fields = (("Host", kit.host), ("Content-Length", "5"), ("Expect", "100-continue"))
    client.request("POST", "/echo/", *fields, body=b"hello", version="HTTP/1.0")
    equal(client.response().status, 200, "the status of the first response")


@case(GROUP, "RFC 9112 8", "a client that leaves within its body harms nobody")
def gone_halfway(kit: Kit) -> None:
    for fields, body in (
        ((("Content-Length", "100"),), b"half"),
        ((CHUNKED,), b"5\r\nhel"),
        ((CHUNKED,), b"5\r\nhello\r\n"),
    ):
        client = kit.connect()
        client.request("POST", "/echo/", ("Host", kit.host), *fields, body=body)
        client.finish()
        rest = client.read_to_end()
        check(b" 200 " not in rest[:20], "half a body was given to the application as a whole one")
    equal(kit.get("/status/200/").status, 200, "the status of the next client's answer")


@case(GROUP, STOPPING, "a large upload costs little memory", exclusive=True)
def memory(kit: Kit) -> None:
    before = kit.state()["memory"]
    size = 24 * 1024 * 1024
    client = kit.connect()
    client.request("POST", "/wsgi/unread", ("Host", kit.host), ("Content-Length", str(size)))
    for _ in range(24):
        client.send(bytes(1024 * 1024))
    equal(client.response().body, b"ignored", "the answer")
    after = kit.state()["memory"]
    if before is not None and after is not None:
        grown = (after - before) >> 20
        check(grown < 12, f"a 24 MiB upload left {grown} MiB in the server's memory")
