"""The environ and the access line, which are the same on every backend."""

from __future__ import annotations

import io
import logging
from typing import Any, cast

import pytest

from dualws.contract import Environ, Server
from dualws.serving.environ import make_environ, split_target

SERVER = cast(Server, object())


def environ(*headers: tuple[str, str], **changes: Any) -> Environ:
    given: dict[str, Any] = {
        "method": "GET",
        "target": "/",
        "version": "HTTP/1.1",
        "headers": headers,
        "server": SERVER,
        "local": ("127.0.0.1", 8000),
        "peer": ("192.0.2.7", 4711),
        "scheme": "http",
        "input": io.BytesIO(),
        "content_length": None,
        "multithread": False,
    }
    return make_environ(**(given | changes))


def test_what_pep_3333_asks_for() -> None:
    made = environ(("Host", "example.com"), ("Content-Type", "text/plain"), target="/a?b=%20c?d")
    assert made["PATH_INFO"] == "/a"
    assert made["QUERY_STRING"] == "b=%20c?d"
    assert made["RAW_URI"] == made["REQUEST_URI"] == "/a?b=%20c?d"
    assert made["SCRIPT_NAME"] == ""
    assert (made["SERVER_NAME"], made["SERVER_PORT"]) == ("127.0.0.1", "8000")
    assert (made["REMOTE_ADDR"], made["REMOTE_PORT"]) == ("192.0.2.7", "4711")
    assert made["HTTP_HOST"] == "example.com"
    assert made["CONTENT_TYPE"] == "text/plain"
    assert "HTTP_CONTENT_TYPE" not in made
    assert made["wsgi.server"] is SERVER
    assert made["wsgi.version"] == (1, 0)
    assert made["wsgi.input_terminated"] is True


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/caf%C3%A9", "/cafÃ©"),
        ("/cafÃ©", "/cafÃ©"),
        ("/%2F%2f", "///"),
        ("//two/slashes", "//two/slashes"),
        ("/percent%", "/percent%"),
        ("/%00", "/\0"),
    ],
)
def test_a_path_is_decoded_bytes_as_latin_1(target: str, path: str) -> None:
    assert environ(target=target)["PATH_INFO"] == path


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("http://example.com/a/b?c", ("/a/b", "c", "example.com")),
        ("HTTP://example.com:80", ("/", "", "example.com:80")),
        ("http://example.com?a=/b", ("/", "a=/b", "example.com")),
        ("http://user@example.com/", None),
        ("http:///a", None),
        ("*", ("", "", "")),
        ("example.com:443", None),
        ("a/b", None),
        ("ftp://example.com/", None),
    ],
)
def test_forms_of_a_target(target: str, parts: tuple[str, str, str] | None) -> None:
    if parts is None:
        with pytest.raises(ValueError, match="target"):
            split_target(target)
    else:
        assert split_target(target) == parts


def test_the_host_of_the_target_replaces_the_header() -> None:
    made = environ(("Host", "other.example"), target="http://example.com:81/a")
    assert made["HTTP_HOST"] == "example.com:81"


def test_repeated_headers_are_joined() -> None:
    made = environ(("X-A", "1"), ("x-a", "2"), ("Cookie", "a=1"), ("COOKIE", "b=2"))
    assert made["HTTP_X_A"] == "1,2"
    assert made["HTTP_COOKIE"] == "a=1; b=2"


def test_names_with_underscores_are_dropped() -> None:
    made = environ(("X_Forwarded_Proto", "https"), ("X-Forwarded-Proto", "http"))
    assert made["HTTP_X_FORWARDED_PROTO"] == "http"
    assert "HTTP_A_B" not in environ(("A_B", "1"))


def test_a_header_cannot_replace_what_the_server_says() -> None:
    made = environ(("Content-Length", "9"), ("Content-Type", "a"), ("Content-Type", "b"))
    assert made["CONTENT_TYPE"] == "a"
    assert environ(("Content-Length", "9"), content_length=3)["CONTENT_LENGTH"] == "3"


def test_a_body_in_chunks_has_a_length_and_no_transfer_encoding() -> None:
    made = environ(("Transfer-Encoding", "chunked"), content_length=12)
    assert made["CONTENT_LENGTH"] == "12"
    assert "HTTP_TRANSFER_ENCODING" not in made
    assert "CONTENT_LENGTH" not in environ()


def test_addresses_of_ipv6_and_unix_sockets() -> None:
    made = environ(local=("::1", 80, 0, 0), peer=("2001:db8::1", 99, 0, 0))
    assert (made["SERVER_NAME"], made["REMOTE_ADDR"]) == ("[::1]", "2001:db8::1")
    made = environ(local="/run/dualws.sock", peer="", scheme="https")
    assert (made["SERVER_NAME"], made["SERVER_PORT"]) == ("localhost", "443")
    assert (made["REMOTE_ADDR"], made["REMOTE_PORT"]) == ("", "")


def test_errors_are_logged_in_one_piece(caplog: pytest.LogCaptureFixture) -> None:
    stream = environ()["wsgi.errors"]
    with caplog.at_level(logging.ERROR, "dualws.server"):
        print("a 100 % failure", file=stream)
        stream.writelines(["two\n", "lines\n"])
        stream.flush()
    assert caplog.messages == ["a 100 % failure", "two\nlines"]
