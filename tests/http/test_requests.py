"""What a request becomes in Django: line, headers, host, path, query."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.raw import RawClient
from support.server import LiveServer


def seen(
    live: LiveServer,
    target: str,
    *headers: tuple[str, str],
    method: str = "GET",
    version: str = "HTTP/1.1",
    host: str | None = None,
) -> Any:
    """What the echo view saw of one request."""
    with live.connect() as client:
        fields = (("Host", host or live.netloc), *headers)
        client.send_request(method, target, *fields, version=version)
        answer = client.read_response(method)
        assert answer.status == 200, answer
        return json.loads(answer.body)


def test_the_plain_request(live: LiveServer) -> None:
    answer = seen(live, "/echo/?a=1&a=2&b=", ("X-Custom", " spaced "))
    meta = answer["meta"]
    assert answer["method"] == "GET"
    assert answer["path"] == "/echo/"
    assert answer["GET"] == {"a": ["1", "2"], "b": [""]}
    assert answer["host"] == live.netloc
    assert answer["scheme"] == meta["wsgi.url_scheme"] == "http"
    assert answer["user"] == "AnonymousUser"
    assert meta["HTTP_X_CUSTOM"] == "spaced"
    assert meta["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert meta["SERVER_NAME"] == "127.0.0.1"
    assert meta["SERVER_PORT"] == str(live.port)
    assert meta["REMOTE_ADDR"] == "127.0.0.1"
    assert meta["SCRIPT_NAME"] == ""
    assert "wsgi.server" in answer["keys"]
    assert "wsgi.websocket" not in answer["keys"]
    assert "CONTENT_LENGTH" not in meta or meta["CONTENT_LENGTH"] in ("", "0")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"])
def test_every_method_reaches_the_view(live: LiveServer, method: str) -> None:
    assert seen(live, "/echo/", ("Content-Length", "0"), method=method)["method"] == method


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/echo/a%20b", "a b"),
        ("/echo/%E2%82%AC", "€"),
        ("/echo/a%2Fb", "a/b"),
        ("/echo/100%25", "100%"),
        ("/echo/a+b", "a+b"),
        ("/echo/a;b=c,d", "a;b=c,d"),
        ("/echo//double//slash", "/double//slash"),
        ("/echo/dots/../stay", "dots/../stay"),
        ("/echo/bad%zz", "bad%zz"),
    ],
)
def test_paths_are_decoded_once(live: LiveServer, target: str, path: str) -> None:
    assert seen(live, target)["rest"] == path


def test_a_query_is_passed_as_it_came(live: LiveServer) -> None:
    answer = seen(live, "/echo/?q=%E2%82%AC%20x+y&again=a?b=c")
    assert answer["query"] == "q=%E2%82%AC%20x+y&again=a?b=c"
    assert answer["GET"] == {"q": ["€ x y"], "again": ["a?b=c"]}


def test_an_absolute_target(live: LiveServer) -> None:
    answer = seen(live, "http://example.test:81/echo/deep?x=1", host="ignored.test")
    assert answer["path"] == "/echo/deep"
    assert answer["query"] == "x=1"
    assert answer["host"] == "example.test:81"


def test_an_ipv6_host(live: LiveServer) -> None:
    answer = seen(live, "/echo/", host="[::1]:8000")
    assert answer["host"] == "[::1]:8000"
    assert answer["meta"]["SERVER_NAME"] == "127.0.0.1"
    assert answer["meta"]["SERVER_PORT"] == str(live.port)


def test_two_cookie_headers_are_one_cookie_string(live: LiveServer) -> None:
    answer = seen(live, "/echo/", ("Cookie", "a=1"), ("Cookie", "b=2; c=3"))
    assert answer["cookies"] == {"a": "1", "b": "2", "c": "3"}


def test_repeated_headers_are_joined_in_order(live: LiveServer) -> None:
    fields = (("X-Forwarded-For", "10.0.0.1"), ("X-Other", "o"), ("X-Forwarded-For", "10.0.0.2"))
    value = seen(live, "/echo/", *fields)["meta"]["HTTP_X_FORWARDED_FOR"]
    assert [part.strip() for part in value.split(",")] == ["10.0.0.1", "10.0.0.2"]


def test_header_names_with_underscores_are_dropped(live: LiveServer) -> None:
    fields = (("X_Forwarded_Proto", "https"), ("X-Real", "yes"), ("Content_Length", "5"))
    meta = seen(live, "/echo/", *fields)["meta"]
    assert "HTTP_X_FORWARDED_PROTO" not in meta
    assert meta["HTTP_X_REAL"] == "yes"
    assert meta.get("CONTENT_LENGTH", "") in ("", "0")


def test_an_underscore_does_not_join_the_real_header(live: LiveServer) -> None:
    fields = (("X-Forwarded-Proto", "http"), ("X_Forwarded_Proto", "https"))
    assert seen(live, "/echo/", *fields)["meta"]["HTTP_X_FORWARDED_PROTO"] == "http"


def test_header_values_are_latin_1(live: LiveServer) -> None:
    assert seen(live, "/echo/", ("X-Latin", "grün"))["meta"]["HTTP_X_LATIN"] == "grün"


def test_many_and_long_headers(live: LiveServer) -> None:
    fields = [(f"X-Number-{number}", "v" * 100) for number in range(80)]
    meta = seen(live, "/echo/", *fields, ("X-Long", "l" * 20_000))["meta"]
    assert meta["HTTP_X_NUMBER_79"] == "v" * 100
    assert meta["HTTP_X_LONG"] == "l" * 20_000


def test_environment_variables_of_the_process_stay_out(live: LiveServer) -> None:
    keys = seen(live, "/echo/")["keys"]
    assert "PATH" not in keys
    assert "PYTHONPATH" not in keys


def test_the_request_comes_byte_by_byte(live: LiveServer) -> None:
    request = f"POST /echo/ HTTP/1.1\r\nHost: {live.netloc}\r\nContent-Length: 4\r\n\r\nbody"
    with live.connect() as client:
        for byte in request.encode():
            client.send(bytes([byte]))
        answer = client.read_response()
    assert json.loads(answer.body)["body"] == "body"


def test_listening_on_ipv6(serve_app: Any) -> None:
    server: LiveServer = serve_app("support.apps:application", host="[::1]")
    with RawClient(("::1", server.port)) as client:
        client.send_request("GET", "/echo", ("Host", server.netloc))
        environ = json.loads(client.read_response().body)
    assert environ["HTTP_HOST"] == f"[::1]:{server.port}"
    assert environ["SERVER_NAME"] in ("::1", "[::1]")
    assert environ["SERVER_PORT"] == str(server.port)
    assert environ["REMOTE_ADDR"] == "::1"
