"""Nothing of one request reaches another: contextvars, sessions, fields."""

from __future__ import annotations

import json

from dualws_conformance.kit import Kit
from dualws_conformance.model import STYLES, case, check, equal
from dualws_conformance.promises import REQUEST, SESSIONS

GROUP = "context"


@case(GROUP, "PEP 567", "a context variable does not survive its request on a connection")
def same_connection(kit: Kit) -> None:
    client = kit.connect()
    for number in range(10):
        client.request("GET", f"/context/?set=value-{number}", ("Host", kit.host))
        equal(json.loads(client.response().body), {"before": "nothing"}, "the context")


@case(GROUP, "PEP 567", "nor on others, one after the other")
def other_connections(kit: Kit) -> None:
    for number in range(30):
        seen = kit.json("/context/", set=f"value-{number}")
        equal(seen, {"before": "nothing"}, "the context")


@case(GROUP, "PEP 567", "nor among requests in flight together")
def together(kit: Kit) -> None:
    clients = [kit.connect() for _ in range(30)]
    for number, client in enumerate(clients):
        client.request("GET", f"/context/?set=value-{number}", ("Host", kit.host))
    for client in clients:
        equal(json.loads(client.response().body), {"before": "nothing"}, "the context")


@case(GROUP, "PEP 567", "nor into a websocket that follows on the connection", styles=STYLES)
def into_websocket(kit: Kit) -> None:
    client = kit.connect()
    client.request("GET", "/context/?set=value", ("Host", kit.host))
    client.response()
    kit.open(client=client).echo("x")
    equal(kit.json("/context/", set="after"), {"before": "nothing"}, "the context")


@case(GROUP, "RFC 9110 3.3", "fields of one request are not in the next one's environ")
def fields(kit: Kit) -> None:
    client = kit.connect()
    more = (("Host", kit.host), ("X-Kit-Secret", "1"), ("Cookie", "a=1"))
    client.request("GET", "/wsgi/environ", *more)
    client.response()
    client.request("GET", "/wsgi/environ", ("Host", kit.host))
    keys = json.loads(client.response().body)["keys"]
    check("HTTP_X_KIT_SECRET" not in keys, "a field of the request before is in the environ")
    check("HTTP_COOKIE" not in keys, "the cookie of the request before is in the environ")


@case(GROUP, SESSIONS, "a session belongs to its client alone")
def sessions(kit: Kit) -> None:
    first = kit.open(path="/visit/")
    second = kit.open(path="/visit/")
    cookies = [peer.head.all("Set-Cookie") for peer in (first, second)]
    check(all(len(one) == 2 for one in cookies), "a client did not get a session of its own")


@case(GROUP, REQUEST, "websockets see their own request", styles=STYLES)
def own_request(kit: Kit) -> None:
    peers = [kit.open("report", ("Cookie", f"n={n}"), query=f"n={n}") for n in range(20)]
    for number, peer in enumerate(peers):
        told = peer.json()
        equal((told["query"], told["cookie"]), (f"n={number}",) * 2, "the handler's request")
