"""A handshake is an ordinary request to Django until it is accepted: refusals, cookies, order."""

from __future__ import annotations

import json

from dualws_conformance import frames
from dualws_conformance.kit import Kit
from dualws_conformance.model import ACCEPTING, STYLES, add, case, check, equal
from dualws_conformance.peer import Peer
from dualws_conformance.promises import ENVIRON, REQUEST

GROUP = "refusals"

for _status in (200, 302, 401, 403, 404, 500, 503):

    def refused(kit: Kit, status: int = _status) -> None:
        client, head = kit.upgrade(f"/status/{status}/")
        equal(head.status, status, "the status")
        equal(head.get("X-Kit"), "middleware", "the middleware's field")
        equal(client.read_body(head)[0], f"status {status}".encode(), "the body")

    add(GROUP, f"status-{_status}", "RFC 6455 4.2.2/2",
        f"a view's ordinary {_status} is an ordinary answer to a handshake", refused)  # fmt: skip


@case(GROUP, "RFC 6455 4.2.2/2", "after a refusal the connection goes on", styles=ACCEPTING)
def goes_on(kit: Kit) -> None:
    client, head = kit.upgrade("/status/403/")
    client.read_body(head)
    client.request("GET", "/status/200/", ("Host", kit.host))
    equal(client.response().status, 200, "the status of the next answer")
    kit.open("echo", client=client).echo("accepted at last")


@case(GROUP, "RFC 6455 4.2.2/2", "an unknown path is an ordinary 404")
def not_found(kit: Kit) -> None:
    _, head = kit.upgrade("/no/such/path/")
    equal(head.status, 404, "the status")


@case(GROUP, "RFC 9110 15.6.1", "a view that raises before the accept is a 500")
def crash(kit: Kit) -> None:
    client, head = kit.upgrade("/crash-before/")
    equal(head.status, 500, "the status")
    client.read_body(head)


@case(GROUP, "RFC 9112 11.2", "frames sent with a handshake that is refused are no request")
def refused_with_frames(kit: Kit) -> None:
    early = frames.build(
        frames.TEXT, b"GET /status/200/ HTTP/1.1\r\nHost: a\r\n\r\n", mask=bytes(4)
    )
    client, head = kit.upgrade("/status/403/", early=early)
    equal(head.status, 403, "the status")
    client.read_body(head)
    rest = client.read_to_end()
    check(b" 200 " not in rest, "a frame's payload was answered as a request")


@case(GROUP, "RFC 9110 15.5.22", "a websocket view without an upgrade answers 426", styles=STYLES)
def not_asked(kit: Kit) -> None:
    equal(kit.get(kit.path("echo")).status, 426, "the status")


@case(GROUP, "RFC 6455 1.3", "cookies of the view and of the middleware travel on the 101")
def cookies(kit: Kit) -> None:
    _, head = kit.upgrade("/visit/")
    equal(head.status, 101, "the status")
    names = sorted(cookie.partition("=")[0] for cookie in head.all("Set-Cookie"))
    equal(names, ["sessionid", "theme"], "the cookies on the 101")
    equal(head.get("X-Kit"), "middleware", "the middleware's field on the 101")


@case(GROUP, REQUEST, "a handler runs after Django's stack has unwound, in the view's context")
def order(kit: Kit) -> None:
    key = kit.key()
    kit.open(path=f"/ordered/?key={key}")
    notes = kit.notes(key, 3)
    equal([note[0] for note in notes], ["view", "finished", "handler"], "the order of events")
    equal(len({note[1] for note in notes[:2]}), 1, "the number of threads the request ran in")
    equal({note[2] for note in notes}, {key}, "what the view has set in its context")


@case(GROUP, ENVIRON, "accept() takes a subprotocol and fields, and a second one does nothing")
def explicit(kit: Kit) -> None:
    peer = kit.open("echo", ("Sec-WebSocket-Protocol", "x, kit.v2"), path="/accepts/")
    equal(peer.head.get("X-Room"), "blue", "the view's field on the 101")
    equal(peer.head.get("Sec-WebSocket-Protocol"), "kit.v2", "the subprotocol")
    peer.expect("accepted")
    peer.expect_close(1000)


@case(GROUP, ENVIRON, "a reader and a writer that both accept send one 101")
def accepted_once(kit: Kit) -> None:
    peer = kit.open(path="/two-accept/")
    peer.expect("from the writer")
    peer.echo("from the reader")
    peer.expect_close(1000)


@case(GROUP, ENVIRON, "the view's answer after a websocket goes nowhere")
def nothing_after(kit: Kit) -> None:
    client, head = kit.upgrade("/inside/returns/")
    equal(head.status, 101, "the status")
    peer = Peer(client, head)
    peer.expect("first and last")
    peer.expect_failed(1000)


@case(GROUP, REQUEST, "every request reaches Django, a bad handshake too")
def bad_reaches_django(kit: Kit) -> None:
    client = kit.connect()
    fields = (("Host", kit.host), ("Upgrade", "websocket"), ("Connection", "Upgrade"))
    client.request("GET", "/echo/", *fields)
    answer = json.loads(client.response().body)
    check(answer["error"] and not answer["websocket"], "the view did not see a bad handshake")
