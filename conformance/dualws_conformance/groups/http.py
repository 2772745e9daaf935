"""HTTP/1.x connections: keep-alive, pipelining, HEAD, HTTP/1.0, half-closed and slow clients."""

from __future__ import annotations

from dualws_conformance.kit import Kit
from dualws_conformance.model import case, check, equal
from dualws_conformance.promises import BACKEND, STOPPING

GROUP = "http"


@case(GROUP, "RFC 9112 9.3", "an HTTP/1.1 connection serves request after request")
def keep_alive(kit: Kit) -> None:
    client = kit.connect()
    for _ in range(10):
        client.request("GET", "/status/200/", ("Host", kit.host))
        answer = client.response()
        equal((answer.status, answer.body), (200, b"status 200"), "the answer")
    client.expect_silence()


@case(GROUP, "RFC 9112 9.6", "Connection: close is honoured and sent back")
def connection_close(kit: Kit) -> None:
    client = kit.connect()
    client.request("GET", "/status/200/", ("Host", kit.host), ("Connection", "close"))
    answer = client.response()
    equal((answer.get("Connection") or "").lower(), "close", "the Connection field")
    client.expect_end()


@case(GROUP, "RFC 9110 7.6.1", "options of Connection are compared without regard to case")
def connection_close_case(kit: Kit) -> None:
    client = kit.connect()
    client.request("GET", "/status/200/", ("Host", kit.host), ("Connection", "TE, CLOSE"))
    client.response()
    client.expect_end()


@case(GROUP, "RFC 9112 9.3.2", "pipelined requests are answered in order")
def pipelining(kit: Kit) -> None:
    client = kit.connect()
    request = "GET /status/{}/ HTTP/1.1\r\nHost: {}\r\n\r\n"
    codes = [200, 404, 201, 500, 202] * 4
    client.send("".join(request.format(code, kit.host) for code in codes).encode())
    equal([client.response().status for _ in codes], codes, "the order of the answers")
    client.expect_silence()


@case(GROUP, "RFC 9112 9.3.2", "pipelined requests with bodies are answered in order")
def pipelining_bodies(kit: Kit) -> None:
    client = kit.connect()
    parts = []
    for size in (1, 5, 70000, 0):
        head = f"POST /echo/ HTTP/1.1\r\nHost: {kit.host}\r\nContent-Length: {size}\r\n\r\n"
        parts.append(head.encode() + b"x" * size)
    client.send(b"".join(parts))
    for size in (1, 5, 70000, 0):
        check(b'"length": %d,' % size in client.response().body, f"the body of {size} was lost")


@case(GROUP, "RFC 9110 9.3.2", "HEAD has the fields of GET and no body")
def head(kit: Kit) -> None:
    client = kit.connect()
    client.request("GET", "/status/200/", ("Host", kit.host))
    got = client.response()
    client.request("HEAD", "/status/200/", ("Host", kit.host))
    answer = client.response("HEAD")
    equal(answer.status, 200, "the status")
    equal(answer.get("Content-Type"), got.get("Content-Type"), "the Content-Type")
    if answer.get("Content-Length") is not None:
        equal(answer.get("Content-Length"), got.get("Content-Length"), "the Content-Length")
    client.request("GET", "/status/201/", ("Host", kit.host))
    equal(client.response().status, 201, "the status of the next answer")


@case(GROUP, "RFC 9110 9.3.2", "HEAD of a streamed answer has no body either")
def head_streamed(kit: Kit) -> None:
    client = kit.connect()
    client.request("HEAD", "/large/?size=100000", ("Host", kit.host))
    equal(client.response("HEAD").status, 200, "the status")
    client.request("GET", "/status/201/", ("Host", kit.host))
    equal(client.response().status, 201, "the status of the next answer")


@case(GROUP, "RFC 9112 9.3", "an HTTP/1.0 connection ends after its answer")
def http_1_0(kit: Kit) -> None:
    client = kit.connect()
    client.request("GET", "/status/200/", ("Host", kit.host), version="HTTP/1.0")
    equal(client.response().status, 200, "the status")
    client.expect_end()


@case(GROUP, "RFC 9112 9.3", "HTTP/1.0 with Connection: keep-alive goes on, and says so")
def http_1_0_keep_alive(kit: Kit) -> None:
    client = kit.connect()
    for _ in range(2):
        client.request(
            "GET", "/status/200/", ("Host", kit.host), ("Connection", "keep-alive"),
            version="HTTP/1.0",
        )  # fmt: skip
        answer = client.response()
        option = (answer.get("Connection") or "").lower()
        if option != "keep-alive":
            client.expect_end()
            return


@case(GROUP, "RFC 9112 6.1", "an HTTP/1.0 client gets no chunks")
def http_1_0_no_chunks(kit: Kit) -> None:
    client = kit.connect()
    client.request("GET", "/large/?size=100000", ("Host", kit.host), version="HTTP/1.0")
    answer = client.response()
    equal(answer.get("Transfer-Encoding"), None, "the Transfer-Encoding")
    equal(len(answer.body), 100000, "the length of the body")
    client.expect_end()


@case(GROUP, "RFC 9112 9.6", "a half-closed client gets its whole answer")
def half_closed(kit: Kit) -> None:
    client = kit.connect()
    client.request("GET", "/status/200/", ("Host", kit.host))
    client.finish()
    equal(client.response().body, b"status 200", "the body")
    equal(kit.get("/status/200/").status, 200, "the status of the next client's answer")


@case(GROUP, "RFC 9112 2.2", "empty lines before a request are ignored")
def empty_lines(kit: Kit) -> None:
    client = kit.connect()
    for _ in range(2):
        client.send(f"\r\nGET /status/200/ HTTP/1.1\r\nHost: {kit.host}\r\n\r\n".encode())
        equal(client.response().status, 200, "the status")


@case(GROUP, "RFC 9112 2.2", "a request that comes byte by byte is a request")
def byte_by_byte(kit: Kit) -> None:
    client = kit.connect()
    body = b"5\r\nhello\r\n0\r\n\r\n"
    head_ = f"POST /echo/ HTTP/1.1\r\nHost: {kit.host}\r\nTransfer-Encoding: chunked\r\n\r\n"
    for byte in head_.encode() + body:
        client.send(bytes((byte,)))
    check(b'"body": "hello"' in client.response().body, "the body is not what was sent")


@case(GROUP, STOPPING, "clients that send their heads slowly hold up nobody")
def slow_heads(kit: Kit) -> None:
    slow = [kit.connect() for _ in range(40)]
    for client in slow:
        client.send(f"GET /status/200/ HTTP/1.1\r\nHost: {kit.host}\r\nX-".encode())
    equal(kit.get("/status/200/").status, 200, "the status of a quick client's answer")
    for client in slow:
        client.send(b"Slow: 1\r\n\r\n")
    for client in slow:
        equal(client.response().status, 200, "the status of a slow client's answer")


@case(GROUP, BACKEND, "a slow view does not hold up others")
def slow_view(kit: Kit) -> None:
    keys = [kit.key() for _ in range(4)]
    clients = [kit.connect() for _ in keys]
    for key, client in zip(keys, clients, strict=True):
        client.request("GET", f"/slow/?key={key}", ("Host", kit.host))
    for key in keys:
        kit.notes(key)
    equal(kit.get("/status/200/").status, 200, "the status of another client's answer")
    for key, client in zip(keys, clients, strict=True):
        kit.release(key)
        equal(client.response().body, b"released", "the slow view's answer")


@case(GROUP, "RFC 9112 3.2.4", "OPTIONS * is answered")
def options_asterisk(kit: Kit) -> None:
    client = kit.connect()
    client.request("OPTIONS", "*", ("Host", kit.host))
    check(client.response("OPTIONS").status < 500, "OPTIONS * fails")


@case(GROUP, "RFC 9110 7.8", "an Upgrade to something unknown is ignored")
def unknown_upgrade(kit: Kit) -> None:
    client = kit.connect()
    client.request(
        "GET", "/status/200/", ("Host", kit.host), ("Upgrade", "h2c"), ("Connection", "Upgrade")
    )
    equal(client.response().status, 200, "the status")
    client.request("GET", "/status/201/", ("Host", kit.host))
    equal(client.response().status, 201, "the status of the next answer")
