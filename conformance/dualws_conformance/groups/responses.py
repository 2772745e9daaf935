"""Responses: framing, statuses without a body, streams, large ones, exceptions, backpressure."""

from __future__ import annotations

import re

from dualws_conformance.kit import Kit
from dualws_conformance.model import add, case, check, equal, fail
from dualws_conformance.promises import BACKEND
from dualws_conformance.wire import Ended

GROUP = "responses"

for status in (204, 304):
    for corner in (f"/wsgi/bodyless?status={status}%20Kit", f"/status/{status}/?body=body"):

        def bodyless(kit: Kit, target: str = corner, status: int = status) -> None:
            client = kit.connect()
            client.request("GET", target, ("Host", kit.host))
            equal(client.response().status, status, "the status")
            client.request("GET", "/status/201/", ("Host", kit.host))
            equal(client.response().status, 201, "the status of the next answer")

        where = "wsgi" if "wsgi" in corner else "django"
        add(GROUP, f"bodyless-{status}-{where}", "RFC 9110 6.4.1",
            f"a {status} has no body, also when the application ({where}) gives it one",
            bodyless)  # fmt: skip


@case(GROUP, "RFC 9110 6.6.1", "every response has a Date")
def date(kit: Kit) -> None:
    value = kit.get("/status/200/").get("Date") or ""
    pattern = r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"
    check(re.fullmatch(pattern, value), f"the Date field is {value!r}, not an IMF-fixdate")


@case(GROUP, "RFC 9112 7.1", "a streamed answer comes in chunks, each as it is produced")
def streamed(kit: Kit) -> None:
    key = kit.key()
    client = kit.connect()
    client.request("GET", f"/stream/?key={key}", ("Host", kit.host))
    equal(client.read_head().get("Transfer-Encoding"), "chunked", "the Transfer-Encoding")
    for word in (b"one\n", b"two\n", b"three\n"):
        equal(client.read_chunk(), word, "the chunk")
        kit.release(key)
    equal(client.read_chunk(), b"", "the last chunk")


for size in (0, 1, 65536, 5_000_000):
    for way in ("streamed", "whole"):

        def sized(kit: Kit, size: int = size, way: str = way) -> None:
            client = kit.connect()
            client.request("GET", f"/large/?size={size}&{way}", ("Host", kit.host))
            answer = client.response()
            equal(len(answer.body), size, "the length of the body")
            client.request("GET", "/status/201/", ("Host", kit.host))
            equal(client.response().status, 201, "the status of the next answer")

        add(GROUP, f"{way}-{size}", "RFC 9112 6.3",
            f"an answer of {size} bytes arrives whole ({way})", sized)  # fmt: skip


@case(GROUP, BACKEND, "a stream stops when its reader does: the client sets the pace")
def backpressure(kit: Kit) -> None:
    key = kit.key()
    client = kit.connect(receive_buffer=65536)
    client.request("GET", f"/large/?size=1000000000&key={key}", ("Host", kit.host))
    client.read_head()
    client.reset()
    (sent,) = kit.notes(key)
    check(sent < 64 << 20, f"{sent} bytes were produced for a client that read nothing")


@case(GROUP, "RFC 9110 15.6.1", "a view that raises is a 500, and the connection goes on")
def crash(kit: Kit) -> None:
    client = kit.connect()
    client.request("GET", "/crash/", ("Host", kit.host))
    equal(client.response().status, 500, "the status")
    client.request("GET", "/status/201/", ("Host", kit.host))
    equal(client.response().status, 201, "the status of the next answer")


@case(GROUP, "RFC 6265 4.1", "two cookies are two Set-Cookie fields")
def cookies(kit: Kit) -> None:
    equal(len(kit.get("/cookies/").all("Set-Cookie")), 2, "the number of Set-Cookie fields")


@case(GROUP, "RFC 9112 6.3", "a body that broke off is not completed with a last chunk")
def broken_stream(kit: Kit) -> None:
    client = kit.connect()
    client.request("GET", "/wsgi/raises_later", ("Host", kit.host))
    head = client.read_head()
    try:
        client.read_body(head)
    except Ended:
        return
    fail("an answer whose application raised halfway was completed")


@case(GROUP, "RFC 9110 15", "the reason phrase and unusual statuses pass")
def unusual(kit: Kit) -> None:
    for status in (299, 418, 451, 599):
        equal(kit.get(f"/status/{status}/").status, status, "the status")


@case(GROUP, "RFC 9110 10.2.2", "redirects keep their Location")
def location(kit: Kit) -> None:
    for status in (301, 302, 307):
        answer = kit.get(f"/status/{status}/")
        equal((answer.status, answer.get("Location")), (status, "/elsewhere/"), "the answer")
