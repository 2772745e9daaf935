"""The opening handshake, RFC 6455 section 4.2, sentence by sentence."""

from __future__ import annotations

import pytest

from dualws.errors import HandshakeError
from dualws.protocol.handshake import Handshake, examine, is_attempted, not_attempted


def request(**changes: str | None) -> dict[str, str]:
    environ: dict[str, str | None] = {
        "REQUEST_METHOD": "GET",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "example.com",
        "HTTP_UPGRADE": "websocket",
        "HTTP_CONNECTION": "Upgrade",
        "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
        "HTTP_SEC_WEBSOCKET_VERSION": "13",
        **changes,
    }
    return {name: value for name, value in environ.items() if value is not None}


def test_the_rfcs_own_example() -> None:
    # RFC 6455 section 1.3
    handshake = examine(request(HTTP_SEC_WEBSOCKET_PROTOCOL="chat, superchat"))
    assert handshake == Handshake("dGhlIHNhbXBsZSBub25jZQ==", 13, ("chat", "superchat"), (), None)
    assert handshake.response_head("chat").split(b"\r\n") == [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        b"Sec-WebSocket-Protocol: chat",
        b"",
        b"",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"HTTP_UPGRADE": "WebSocket"},
        {"HTTP_UPGRADE": "h2c, websocket"},
        {"HTTP_CONNECTION": "keep-alive, Upgrade"},
        {"HTTP_CONNECTION": "keep-alive\t,UPGRADE "},
        {"HTTP_SEC_WEBSOCKET_VERSION": "8"},
        {"HTTP_SEC_WEBSOCKET_VERSION": "7"},
    ],
)
def test_valid(changes: dict[str, str]) -> None:
    assert is_attempted(request(**changes))
    examine(request(**changes))


@pytest.mark.parametrize(
    ("changes", "status", "names"),
    [
        ({"REQUEST_METHOD": "POST"}, 400, "GET"),
        ({"SERVER_PROTOCOL": "HTTP/1.0"}, 400, "HTTP/1.1"),
        ({"HTTP_HOST": None}, 400, "Host"),
        ({"HTTP_HOST": ""}, 400, "Host"),
        ({"HTTP_UPGRADE": None}, 400, "Upgrade"),
        ({"HTTP_UPGRADE": "websockets"}, 400, "Upgrade"),
        ({"HTTP_UPGRADE": "not-websocket"}, 400, "Upgrade"),
        ({"HTTP_CONNECTION": None}, 400, "Connection"),
        ({"HTTP_CONNECTION": "keep-alive"}, 400, "Connection"),
        ({"HTTP_CONNECTION": "no-upgrade"}, 400, "Connection"),
        ({"HTTP_SEC_WEBSOCKET_KEY": None}, 400, "Sec-WebSocket-Key"),
        ({"HTTP_SEC_WEBSOCKET_KEY": ""}, 400, "Sec-WebSocket-Key"),
        ({"HTTP_SEC_WEBSOCKET_KEY": "too short"}, 400, "Sec-WebSocket-Key"),
        ({"HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZSE="}, 400, "16 bytes"),
        ({"HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25j*Q=="}, 400, "16 bytes"),
        ({"HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25j\u00e9Q=="}, 400, "16 bytes"),
        ({"HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==,x"}, 400, "16 bytes"),
        ({"HTTP_SEC_WEBSOCKET_VERSION": None}, 400, "Sec-WebSocket-Version"),
        ({"HTTP_SEC_WEBSOCKET_VERSION": "14"}, 426, "13"),
        ({"HTTP_SEC_WEBSOCKET_VERSION": "0"}, 426, "13"),
        ({"HTTP_SEC_WEBSOCKET_VERSION": "13,8"}, 426, "13"),
        ({"HTTP_SEC_WEBSOCKET_VERSION": "+13"}, 426, "13"),
        ({"HTTP_SEC_WEBSOCKET_VERSION": "abc"}, 426, "13"),
        ({"HTTP_SEC_WEBSOCKET_PROTOCOL": "a b"}, 400, "token"),
        ({"HTTP_SEC_WEBSOCKET_PROTOCOL": "a,,b"}, 400, "token"),
        ({"HTTP_SEC_WEBSOCKET_PROTOCOL": ""}, 400, "token"),
        ({"HTTP_SEC_WEBSOCKET_PROTOCOL": "a, a"}, 400, "twice"),
    ],
)
def test_each_fault_is_named(changes: dict[str, str], status: int, names: str) -> None:
    assert is_attempted(request(**changes))
    with pytest.raises(HandshakeError, match=names) as caught:
        examine(request(**changes))
    assert caught.value.status == status
    if status == 426:
        assert ("Sec-WebSocket-Version", "13, 8, 7") in caught.value.headers


def test_an_ordinary_request_attempts_nothing() -> None:
    plain = request(HTTP_UPGRADE=None, HTTP_SEC_WEBSOCKET_KEY=None, HTTP_SEC_WEBSOCKET_VERSION=None)
    assert not is_attempted(plain)
    assert not is_attempted({**plain, "HTTP_UPGRADE": "h2c"})
    assert not_attempted().status == 426


@pytest.mark.parametrize(
    ("version", "header"), [("13", "HTTP_ORIGIN"), ("8", "HTTP_SEC_WEBSOCKET_ORIGIN")]
)
def test_the_origin_is_in_the_header_of_the_version(version: str, header: str) -> None:
    environ = request(HTTP_SEC_WEBSOCKET_VERSION=version, **{header: "http://page"})
    assert examine(environ).origin == "http://page"


def test_an_old_draft_cannot_hide_the_origin() -> None:
    environ = request(HTTP_SEC_WEBSOCKET_VERSION="8", HTTP_ORIGIN="http://evil")
    assert examine(environ).origin == "http://evil"


def test_headers_of_the_response_travel_on_the_101_but_not_those_of_a_body() -> None:
    head = examine(request()).response_head(
        headers=[
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
            ("Content-Length", "0"),
            ("Content-Type", "text/html"),
            ("Transfer-Encoding", "chunked"),
            ("Connection", "close"),
            ("Sec-WebSocket-Protocol", "smuggled"),
        ]
    )
    assert head.count(b"\r\n") == 7
    assert b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n" in head


@pytest.mark.parametrize("value", ["a\r\nInjected: 1", "a\nb"])
def test_a_line_break_in_a_header_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        examine(request()).response_head(headers=[("X", value)])
