"""The corners of PEP 3333, with and without ``wsgiref.validate`` around the application."""

from __future__ import annotations

import json
from functools import partial

from dualws_conformance.kit import Kit
from dualws_conformance.model import add, case, check, equal, fail
from dualws_conformance.wire import Ended, Response

GROUP = "wsgi"
SECTION = "PEP 3333"


def ask(kit: Kit, name: str, method: str = "GET", body: bytes = b"") -> Response:
    """One answer of ``project.corners``."""
    client = kit.connect()
    fields = [("Content-Length", str(len(body)))] if body else []
    client.request(method, f"/wsgi/{name}", ("Host", kit.host), *fields, body=body)
    return client.response(method)


def answers(name: str, title: str, corner: str, status: int, body: bytes) -> None:
    """Register a case: *corner* is answered with *status* and *body*."""

    def run(kit: Kit) -> None:
        answer = ask(kit, corner)
        equal((answer.status, answer.body), (status, body), "the status and body")

    add(GROUP, name, SECTION, title, run)


answers("generator", "a generator may start the response when it is first iterated",
        "generator", 200, b"after nothing, more")  # fmt: skip
answers("write", "what goes through write() precedes what is returned",
        "writes", 200, b"written, returned")  # fmt: skip
answers("exc-info-before", "before any body start_response may be called again with exc_info",
        "changes", 503, b"second thoughts")  # fmt: skip
answers("file-wrapper", "wsgi.file_wrapper sends the file", "wraps", 200, b"file " * 20000)


def _validated(kit: Kit, corner: str) -> None:
    equal(ask(kit, f"validated/{corner}").status, 200, "the status")


for corner in ("valid", "generator", "writes", "cycle?key=validated", "repeats", "wraps"):
    short = corner.partition("?")[0]
    add(GROUP, f"validated-{short}", SECTION,
        f"wsgiref.validate finds nothing wrong around {short}",
        partial(_validated, corner=corner))  # fmt: skip


@case(GROUP, SECTION, "wsgiref.validate finds nothing wrong around an application that reads")
def validated_body(kit: Kit) -> None:
    equal(ask(kit, "validated/valid", "POST", b"x" * 70000).body, b"got 70000 bytes", "the body")


@case(GROUP, SECTION, "wsgiref.validate finds nothing wrong with HEAD")
def validated_head(kit: Kit) -> None:
    equal(ask(kit, "validated/valid", "HEAD").status, 200, "the status")


@case(GROUP, SECTION, "every way to read wsgi.input continues where the last one stopped")
def reads(kit: Kit) -> None:
    answer = ask(kit, "reads", "POST", b"ab first\nsecond\nthird\nfourth\nfifth")
    expected = ["ab", " first\n", "sec", "ond\n", "third\n|fourth\n|fifth", "", "", ""]
    equal(json.loads(answer.body), expected, "what was read")


@case(GROUP, SECTION, "a body that the application did not read is not taken for a request")
def unread_body(kit: Kit) -> None:
    client = kit.connect()
    body = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n" * 100
    for _ in range(2):
        length = ("Content-Length", str(len(body)))
        client.request("POST", "/wsgi/unread", ("Host", kit.host), length, body=body)
        equal(client.response().body, b"ignored", "the answer")


@case(GROUP, SECTION, "call, iteration and close() happen in one thread, and close() last")
def one_thread(kit: Kit) -> None:
    key = kit.key()
    equal(ask(kit, f"cycle?key={key}").body, b"one two three", "the body")
    notes = kit.notes(key, 5)
    equal([n[0] for n in notes], ["call", "next", "next", "next", "close"], "the cycle's steps")
    equal(len({n[1] for n in notes}), 1, "the number of threads of one WSGI cycle")


@case(GROUP, SECTION, "each chunk reaches the client before the next one is asked for")
def no_delay(kit: Kit) -> None:
    key = kit.key()
    client = kit.connect()
    client.request("GET", f"/wsgi/waits?key={key}", ("Host", kit.host))
    client.read_head()
    for word in (b"one ", b"two ", b"three"):
        equal(client.read_chunk(), word, "the chunk")
        kit.release(key)
    equal(client.read_chunk(), b"", "the last chunk")


@case(GROUP, SECTION, "close() is called when the client has gone halfway")
def closed_when_gone(kit: Kit) -> None:
    key = kit.key()
    client = kit.connect()
    client.request("GET", f"/wsgi/waits?key={key}", ("Host", kit.host))
    client.read_head()
    client.read_chunk()
    client.reset()
    for _ in range(3):
        kit.release(key)
    for count in range(2, 5):
        if any(note[0] == "close" for note in kit.notes(key, count)):
            return
    fail("close() was not called after the client had gone")


@case(GROUP, SECTION, "start_response with exc_info after the first chunk raises that exception")
def exc_info_late(kit: Kit) -> None:
    key = kit.key()
    client = kit.connect()
    client.request("GET", f"/wsgi/late?key={key}", ("Host", kit.host))
    equal(client.read_head().status, 200, "the status")
    equal(kit.notes(key), ["same"], "the exception that start_response raised")


@case(GROUP, SECTION, "an answer that broke off is cut, never completed")
def cut(kit: Kit) -> None:
    for query in ("", "?length"):
        try:
            answer = ask(kit, "raises_later" + query)
        except Ended:
            continue
        fail(f"the client was given a complete answer of {len(answer.body)} bytes")


for corner, what in (
    ("twice", "starts twice without exc_info"),
    ("never", "never starts its response"),
    ("split", "puts a line break into a field"),
    ("raises", "raises when it is called"),
    ("raises_first", "raises before its first chunk"),
    ("text", "returns text instead of bytes"),
):

    def failing(kit: Kit, corner: str = corner) -> None:
        answer = ask(kit, corner)
        equal(answer.status, 500, "the status")
        check(answer.get("X-Injected") is None, "a field was injected into the response")
        check(b"Traceback" not in answer.body, "the answer shows a traceback to the client")

    add(GROUP, f"fails-{corner.replace('_', '-')}", SECTION,
        f"an application that {what} is answered with 500", failing)  # fmt: skip


@case(GROUP, SECTION, "of an answer longer than its Content-Length no more than that is sent")
def too_long(kit: Kit) -> None:
    client = kit.connect()
    client.request("GET", "/wsgi/length?is=7", ("Host", kit.host), ("Connection", "close"))
    client.read_head()
    body = client.read_to_end()
    check(body in (b"1234567", b"12345"), f"the body was {body!r}, where 7 bytes were announced")


@case(GROUP, SECTION, "an answer shorter than its Content-Length ends the connection")
def too_short(kit: Kit) -> None:
    try:
        ask(kit, "length?is=11")
    except Ended:
        return
    fail("an answer with a byte too little was taken for complete")


@case(GROUP, SECTION, "repeated response fields stay apart and in order")
def repeated_fields(kit: Kit) -> None:
    equal(ask(kit, "repeats").all("Set-Cookie"), ["a=1", "b=2"], "the Set-Cookie fields")


@case(GROUP, SECTION, "wsgi.errors takes text in every way")
def errors(kit: Kit) -> None:
    equal(ask(kit, "logs").body, b'"logged"', "the body")


@case(GROUP, SECTION, "a server that answered an application's failure with 500 serves on")
def serves_on(kit: Kit) -> None:
    for corner in ("raises", "text", "split"):
        ask(kit, corner)
        equal(ask(kit, "environ").status, 200, f"the status after {corner}")
