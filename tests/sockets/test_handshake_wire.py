"""Handshakes over real sockets: what is accepted, how, and what every refusal looks like."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable

import pytest
from websockets.sync.client import connect

from support import frames
from support.server import LiveServer
from support.timing import TIMEOUT

HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def answer(
    server: LiveServer, path: str, method: str = "GET", **changes: str | None
) -> tuple[int, dict[str, str], bytes]:
    """The ordinary answer to a handshake with *changes* (None leaves a header out)."""
    renamed = {name.replace("_", "-"): value for name, value in changes.items()}
    headers = {k: v for k, v in {**HANDSHAKE, **renamed}.items() if v is not None}
    connection = http.client.HTTPConnection(*server.address, timeout=TIMEOUT)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({"Upgrade": None}, 400, b"Upgrade"),
        ({"Upgrade": "websockets"}, 400, b"Upgrade"),
        ({"Connection": None}, 400, b"Connection"),
        ({"Connection": "keep-alive"}, 400, b"Connection"),
        ({"Sec_WebSocket_Key": None}, 400, b"Sec-WebSocket-Key"),
        ({"Sec_WebSocket_Key": "short"}, 400, b"16 bytes"),
        ({"Sec_WebSocket_Version": None}, 400, b"Sec-WebSocket-Version"),
        ({"Sec_WebSocket_Version": "12"}, 426, b"Sec-WebSocket-Version"),
        ({"Sec_WebSocket_Protocol": "a b"}, 400, b"token"),
    ],
)
def test_a_bad_handshake_reaches_django_and_is_refused_by_the_view(
    live: LiveServer, changes: dict[str, str | None], status: int, reason: bytes
) -> None:
    code, headers, body = answer(live, "/ws/echo/", **changes)
    assert code == status
    assert reason in body
    if status == 426:
        assert headers["Sec-WebSocket-Version"] == "13, 8, 7"
    code, _, body = answer(live, "/ws/inspect/", **changes)
    assert code == 200
    seen = json.loads(body)
    assert seen["websocket"] is False
    assert reason.decode() in seen["error"]


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT"])
def test_only_get_becomes_a_websocket(live: LiveServer, method: str) -> None:
    code, _, _ = answer(live, "/ws/refuse/418/" if method != "HEAD" else "/ws/echo/", method)
    assert code in (400, 403, 418)  # 403: CSRF, which applies as to every other POST


def test_a_websocket_view_without_an_upgrade_answers_426(live: LiveServer) -> None:
    response = live.get("/ws/echo/")
    assert response.status == 426
    assert response.get("Sec-WebSocket-Version") == "13, 8, 7"
    assert b"ws://" in response.body


def test_http_1_0_cannot_upgrade(live: LiveServer) -> None:
    with live.connect() as client:
        fields = [("Host", live.netloc), *HANDSHAKE.items()]
        client.send_request("GET", "/ws/echo/", *fields, version="HTTP/1.0")
        response = client.read_response()
    assert response.status == 400
    assert b"HTTP/1.1" in response.body


@pytest.mark.parametrize("code", [302, 401, 403, 404, 500, 503])
def test_an_ordinary_response_is_an_ordinary_answer(live: LiveServer, code: int) -> None:
    status, headers, body = answer(live, f"/ws/refuse/{code}/")
    assert status == code
    if code == 302:
        assert headers["Location"] == "/elsewhere/"
    else:
        assert (headers["X-Why"], body) == ("because", f"no: {code}".encode())


def test_an_unknown_path_is_404_and_an_exception_500(live: LiveServer) -> None:
    assert answer(live, "/no/such/path/")[0] == 404
    assert answer(live, "/ws/refuse-by-crash/")[0] == 500
    live.expect_traceback("refused by a bug")


def test_a_refused_handshake_leaves_the_connection_usable(live: LiveServer) -> None:
    with live.connect() as client:
        head = frames.handshake(client, "/ws/refuse/403/", live.netloc)
        assert head.status == 403
        client.read_body(head)
        assert frames.handshake(client, "/ws/echo/", live.netloc).status == 101


def test_a_decorator_refuses_as_it_does_for_http(live: LiveServer) -> None:
    status, headers, _ = answer(live, "/ws/members/")
    assert status == 302
    assert headers["Location"].startswith("/sign-in/")


def test_the_session_and_the_user_are_those_of_http(live: LiveServer) -> None:
    with live.connect() as client:
        client.send_request("GET", "/sign-in/?name=ada", ("Host", live.netloc))
        signed_in = client.read_response()
    cookie = "; ".join(value.split(";")[0] for value in signed_in.all("Set-Cookie"))
    assert cookie
    with connect(
        live.url("/ws/members/", "ws"), additional_headers={"Cookie": cookie}
    ) as client_ws:
        assert client_ws.recv(timeout=TIMEOUT) == "ada"


def test_what_the_handler_sees(live: LiveServer) -> None:
    with connect(
        live.url("/ws/report/some-word/?a=1", "ws"), origin=f"http://{live.netloc}"
    ) as client:
        seen = json.loads(client.recv(timeout=TIMEOUT))
    assert seen.pop("connections") >= 1
    assert isinstance(seen.pop("users"), int)
    assert seen == {
        "user": "AnonymousUser",
        "cart": None,
        "word": "some-word",
        "path": "/ws/report/some-word/",
        "origin": f"http://{live.netloc}",
        "version": 13,
        "protocol": None,
        "subprotocol": None,
        "query": {"a": "1"},
        "same": True,
        "backend": live.backend,
        "closed": False,
    }


def test_cookies_of_view_and_middleware_travel_on_the_101(live: LiveServer) -> None:
    with live.connect() as client:
        head = frames.handshake(client, "/ws/visit/", live.netloc)
    assert head.status == 101
    assert head.get("Upgrade") == "websocket"
    assert head.get("Connection") == "Upgrade"
    cookies = head.all("Set-Cookie")
    assert len(cookies) == 2
    assert any(cookie.startswith("sessionid=") for cookie in cookies)
    assert any(cookie.startswith("theme=dark") for cookie in cookies)


def test_the_handler_runs_after_the_stack_has_unwound(live: LiveServer) -> None:
    with connect(live.url("/ws/ordered/", "ws")):
        seen = live.get_json("/notes/", key="order", count=3)
    assert seen[:3] == ["view", "request_finished", "handler"]


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["chat.v2", "chat.v1"], "chat.v2"),
        (["other", "chat.v1"], "chat.v1"),
        (["other"], None),
        ([], None),
    ],
)
def test_the_clients_first_subprotocol_that_the_view_speaks(
    live: LiveServer, offered: list[str], chosen: str | None
) -> None:
    with live.connect() as client:
        extra = [("Sec-WebSocket-Protocol", name) for name in offered]
        head = frames.handshake(client, "/ws/echo/", live.netloc, *extra)
    assert head.get("Sec-WebSocket-Protocol") == chosen


@pytest.mark.parametrize("version", ["8", "7"])
def test_the_older_drafts_are_accepted(live: LiveServer, version: str) -> None:
    with live.connect() as client:
        head = frames.handshake(client, "/ws/echo/", live.netloc, version=version)
        assert head.status == 101
        client.send(frames.build(frames.TEXT, b"hi"))
        assert frames.read_frame(client) == frames.Frame(frames.TEXT, b"hi")


@pytest.mark.parametrize("path", ["/ws/echo/", "/ws/inside/"])
def test_bytes_that_came_with_the_handshake_are_not_lost(live: LiveServer, path: str) -> None:
    early = frames.build(frames.TEXT, b"early") + frames.build(frames.TEXT, b"and split")[:7]
    with live.connect() as client:
        assert frames.handshake(client, path, live.netloc, early=early).status == 101
        assert frames.read_frame(client).payload == b"early"
        client.send(frames.build(frames.TEXT, b"and split")[7:])
        assert frames.read_frame(client).payload == b"and split"


def test_a_large_early_message_is_not_lost(live: LiveServer) -> None:
    payload = bytes(range(256)) * 2048
    with live.connect() as client:
        head = frames.handshake(
            client, "/ws/echo/", live.netloc, early=frames.build(frames.BINARY, payload)
        )
        assert head.status == 101
        assert frames.read_frame(client).payload == payload


@pytest.mark.parametrize("path", ["/ws/echo/", "/ws/inside/"])
def test_a_page_of_another_origin_is_refused_and_logged(live: LiveServer, path: str) -> None:
    start = live.stderr.position
    status, _, body = answer(live, path, Origin="http://evil.example")
    assert status == 403
    assert b"evil.example" in body
    match = live.stderr.wait_for(r"refusing a websocket.*evil\.example.*", start=start)
    assert match is not None
    assert live.netloc in match[0]
    if path == "/ws/inside/":  # Django logs it as PermissionDenied
        live.expect_traceback("may not open this websocket")


@pytest.mark.parametrize(
    ("origin", "hint"),
    [
        ("http://localhost:{port}", "localhost and 127.0.0.1 are two origins: .*http://{netloc}"),
        ("http://[::1]:{port}", "::1 and 127.0.0.1 are two origins: .*http://{netloc}"),
        ("null", "'null' is said by a page without an address .*http://{netloc}"),
        ("http://localhost:1", None),
        ("https://localhost:{port}", None),
        ("http://localhost.example:{port}", None),
        ("http://127.0.0.1.example:{port}", None),
    ],
)
def test_the_log_knows_why_pages_of_this_machine_are_refused(
    live: LiveServer, origin: str, hint: str | None
) -> None:
    start = live.stderr.position
    parts = {"netloc": live.netloc, "port": live.netloc.partition(":")[2]}
    assert answer(live, "/ws/echo/", Origin=origin.format(**parts))[0] == 403
    match = live.stderr.wait_for(r"refusing a websocket.*", start=start)
    assert match is not None
    if hint is None:
        assert match[0].endswith("does not list the page's origin")
    else:
        assert re.search(f"page's origin; {hint.format(**parts)}", match[0]), match[0]


@pytest.mark.parametrize("path", ["/ws/echo/", "/ws/inside/"])
def test_the_own_origin_and_no_origin_are_accepted(live: LiveServer, path: str) -> None:
    for headers in ([], [("Origin", f"http://{live.netloc}")]):
        with live.connect() as client:
            assert frames.handshake(client, path, live.netloc, *headers).status == 101


def test_listed_origins_are_accepted(serve_app: Callable[..., LiveServer]) -> None:
    server = serve_app("support.project.wsgi", "--allowed-origins", "https://*.example.com")
    server.accept_traceback("may not open this websocket")
    for path in ("/ws/echo/", "/ws/inside/"):
        with server.connect() as client:
            origin = ("Origin", "https://app.example.com")
            assert frames.handshake(client, path, server.netloc, origin).status == 101
        assert answer(server, path, Origin="http://app.example.com")[0] == 403


def test_an_upgrade_to_something_else_is_an_ordinary_request(live: LiveServer) -> None:
    with live.connect() as client:
        fields = [("Host", live.netloc), ("Upgrade", "h2c"), ("Connection", "Upgrade")]
        client.send_request("GET", "/ws/inspect/", *fields)
        response = client.read_response()
    assert response.status == 200
    assert json.loads(response.body)["error"] is None


def test_explicit_accept_with_subprotocol_and_header(live: LiveServer) -> None:
    with live.connect() as client:
        head = frames.handshake(
            client, "/ws/inside/accept/", live.netloc, ("Sec-WebSocket-Protocol", "x, chat.v2")
        )
        assert head.get("X-Room") == "blue"
        assert head.get("Sec-WebSocket-Protocol") == "chat.v2"
        assert frames.read_frame(client).payload == b"chat.v2"
        assert frames.read_frame(client).close_code == 1000


def test_reader_and_writer_that_both_accept_send_one_101(live: LiveServer) -> None:
    with live.connect() as client:
        assert frames.handshake(client, "/ws/inside/two/", live.netloc).status == 101
        assert frames.read_frame(client).payload == b"from the writer"
        client.send(frames.build(frames.TEXT, b"hi"))
        assert frames.read_frame(client).payload == b"hi"
        assert frames.read_frame(client).close_code == 1000
