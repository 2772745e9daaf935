"""Two dualws servers behind each proxy, with the configurations of ``deploy/``.

What passes through must be what a direct client sees, and what a client claims of itself must not.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Origin, Subprotocol

from dualws.contract import ServerConfig
from production.proxies.sites import Site, each
from support import frames
from support.crowd import ask, open_socket
from support.frames import CLOSE, TEXT, build, close_payload, read_frame
from support.http2 import Http2Client
from support.member import Member
from support.proxies import DEPLOY, HOST, PROXIES, Proxy
from support.raw import RawClient
from support.timing import TIMEOUT, eventually

#: An address of this machine that no proxy has.
VISITOR = "127.0.0.9"
CLAIMS = (
    ("X-Forwarded-For", "203.0.113.7"),
    ("X-Forwarded-Proto", "http"),
    ("X-Forwarded-Host", "evil.example"),
    ("Forwarded", "for=203.0.113.7;proto=http;host=evil.example"),
)


def seen_by_view(site: Site, client: RawClient, *headers: tuple[str, str]) -> Any:
    """What a view sees of a request."""
    client.send_request("GET", "/echo/", ("Host", site.netloc), *headers)
    response = client.read_response()
    assert response.status == 200, response
    return json.loads(response.body)


def test_a_view_sees_the_visitor_and_not_the_claims(site: Site) -> None:
    with site.proxy.connect(VISITOR) as client:
        seen = seen_by_view(site, client, *CLAIMS)
    assert seen["scheme"] == "https"
    assert seen["host"] == site.netloc
    assert seen["meta"]["REMOTE_ADDR"] == VISITOR
    assert seen["meta"]["wsgi.url_scheme"] == "https"
    assert seen["meta"].get("HTTP_FORWARDED", "") == ""


def test_what_is_sent_past_the_proxy_is_not_believed(site: Site) -> None:
    """An address of this machine that is no proxy's."""
    with socket.create_connection(
        site.servers[0].address, TIMEOUT, source_address=(VISITOR, 0)
    ) as direct:
        claims = "".join(f"{name}: {value}\r\n" for name, value in CLAIMS)
        direct.sendall(f"GET /echo/ HTTP/1.0\r\nHost: a\r\n{claims}\r\n".encode())
        answer = direct.makefile("rb").read()
    seen = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (seen["meta"]["REMOTE_ADDR"], seen["scheme"]) == (VISITOR, "http")


def test_http2_to_the_browser(site: Site) -> None:
    with Http2Client(site.proxy.address, site.certificate) as client:
        seen = client.get("/echo/?a=1")
        assert seen.status == 200
        assert json.loads(bytes(seen.body))["GET"] == {"a": ["1"]}
        assert client.get("/status/404/").status == 404
        assert client.extended_connect is site.proxy.extended_connect


# The others do not offer it, and browsers open a connection of HTTP/1.1 instead.
@pytest.mark.parametrize(
    "proxied", each(kind for kind in PROXIES if kind.extended_connect), indirect=True
)
def test_websocket_over_http2(site: Site) -> None:
    """RFC 8441, beside other requests on the same connection."""
    with Http2Client(site.proxy.address, site.certificate) as client:
        with client.websocket("/ws/echo/", ("origin", site.origin)) as stream:
            assert stream.answer.status == 200
            assert ask(stream, b"over a stream") == "over a stream"
            assert client.get("/status/204/").status == 204
            stream.send(build(TEXT, b"x" * 40_000))
            assert read_frame(stream).payload == b"x" * 40_000
            stream.send(build(CLOSE, close_payload(3001, "enough")))
            assert read_frame(stream).close_code == 3001
        foreign = client.websocket("/ws/echo/", ("origin", "https://evil.example"))
        assert foreign.answer.status == 403


def test_a_client_that_is_not_ours(site: Site) -> None:
    """The websockets library: a subprotocol, compression, a large message, a ping, the close."""

    async def talk() -> int | None:
        # Not its threads: Python 3.11 loses what one sends over TLS while another reads.
        async with (
            asyncio.timeout(TIMEOUT),
            connect(
                f"wss://{site.netloc}/ws/echo/",
                sock=socket.create_connection(site.proxy.address, TIMEOUT),
                origin=Origin(site.origin),
                subprotocols=[Subprotocol("chat.v1")],
                ssl=site.certificate.context("http/1.1"),
                server_hostname=HOST,
            ) as client,
        ):
            assert client.subprotocol == "chat.v1"
            await (await client.ping())
            for message in ("short", "long " * 100_000, bytes(range(256)) * 1000):
                await client.send(message)
                assert await client.recv() == message
            await client.close(3000, "bye")
        return client.close_code

    assert asyncio.run(talk()) == 3000


def test_pages_of_other_sites_are_refused(site: Site) -> None:
    for origin, status in ((site.origin, 101), ("https://evil.example", 403)):
        with site.connect() as client:
            head = frames.handshake(client, "/ws/echo/", site.netloc, ("Origin", origin))
            assert head.status == status
    with site.connect() as client:
        claims = ("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Proto", "https")
        origin = ("Origin", "https://evil.example")
        assert frames.handshake(client, "/ws/echo/", site.netloc, origin, *claims).status == 403


def test_close_codes_pass_both_ways(site: Site) -> None:
    with open_socket(site, "/ws/bye/?key=codes") as client:
        client.send(build(TEXT, b"4017 so long"))
        frame = read_frame(client)
        assert (frame.close_code, frame.close_reason) == (4017, "so long")
        client.send(build(CLOSE, close_payload(4017, "so long")))
        client.assert_closed()
    with open_socket(site, "/ws/echo/?key=theirs") as client:
        client.send(build(CLOSE, close_payload(4123, "had enough")))
        assert read_frame(client).close_code == 4123
        client.assert_closed()
    assert site.noted("theirs") == [[4123, "had enough"]]


@pytest.mark.parametrize("status", [302, 403, 404, 503])
def test_refusals_pass(site: Site, status: int) -> None:
    with site.connect() as client:
        head = frames.handshake(client, f"/ws/refuse/{status}/", site.netloc)
        assert head.status == status
        if status != 302:
            assert head.get("X-Why") == "because"
            assert client.read_body(head)[0] == f"no: {status}".encode()


def test_a_request_without_an_upgrade_is_told(site: Site) -> None:
    response = site.get("/ws/echo/")
    assert response.status == 426


def test_sockets_are_spread_and_sessions_need_no_stickiness(site: Site) -> None:
    """Twenty sockets of one visitor: half on each server, and signed in on both."""
    member = Member(site, "ada")
    eventually(lambda: site.connections() == [0, 0], what="sockets of other tests are open")
    with contextlib.ExitStack() as opened:
        path = "/members/session/blocking/"
        sockets = [opened.enter_context(member.open(path)) for _ in range(20)]
        first, second = site.connections()
        assert first + second == 20
        assert abs(first - second) <= 4, (first, second)
        for client in sockets:
            assert json.loads(ask(client, b"get _auth_user_id")) is not None


def test_a_client_that_vanishes_is_noticed(site: Site) -> None:
    client = open_socket(site, "/ws/echo/?key=vanished")
    assert ask(client, b"here") == "here"
    client.reset()
    eventually(lambda: site.connections() == [0, 0], what="the server holds the socket")


def test_uploads_pass_whole(site: Site) -> None:
    body = bytes(range(256)) * 8192
    with site.connect() as client:
        fields = (("Host", site.netloc), ("Content-Length", str(len(body))))
        client.send_request("POST", "/upload/", *fields, body=body)
        assert json.loads(client.read_response().body)["length"] == len(body)
    with site.connect() as client:
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(body) // 8, body[: len(body) // 8]) for _ in "12")
        fields = (("Host", site.netloc), ("Transfer-Encoding", "chunked"))
        client.send_request("POST", "/upload/", *fields, body=chunks + b"0\r\n\r\n")
        assert json.loads(client.read_response().body)["length"] == len(body) // 4


def test_plain_http_is_sent_to_https(site: Site) -> None:
    with RawClient(("127.0.0.1", site.proxy.plain_port)) as client:
        client.send_request("GET", "/echo/?a=1", ("Host", HOST), ("Connection", "close"))
        head = client.read_head()
    assert head.status in (301, 302, 308)
    location = head.get("Location") or ""
    # Caddy and Traefik name the port that they listen on, the others the standard one.
    assert location in (f"https://{HOST}/echo/?a=1", f"https://{site.netloc}/echo/?a=1")


@pytest.mark.parametrize(
    "proxied", each(kind for kind in PROXIES if kind.short_idle), indirect=True
)
def test_what_is_short_is_what_the_tests_make_short(proxied: type[Proxy]) -> None:
    """The timeouts that the files set for websockets outlast a ping and the wait for its answer."""
    config = ServerConfig()
    for text in proxied.short_idle:
        seconds = int(text.split()[-1].removesuffix("s"))
        assert seconds > config.ping_interval + config.ping_timeout


def test_proxies_close_idle_connections_before_dualws_does() -> None:
    """Else a request meets a connection that is just being closed."""
    words = {
        "nginx/dualws.conf": r"^    keepalive_timeout (\d+)s;",
        "caddy/Caddyfile": r"^\t+keepalive (\d+)s$",
        "traefik/dynamic.yml": r"^ +idleConnTimeout: (\d+)s$",
    }
    for name, pattern in words.items():
        (seconds,) = re.findall(pattern, (DEPLOY / name).read_text(), re.M)
        assert int(seconds) < ServerConfig().http_idle_timeout, name
