"""What proxies say of the client: who is believed, how far, and what nobody can forge."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Any, cast

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from dualws.contract import Environ, ServerConfig, WSGIApplication
from dualws.serving.forwarded import ForwardedMiddleware, Node, parse_element, parse_node
from dualws.serving.trust import Proxies
from support.program import Program
from support.sites import UnixConnection, environ_of, words
from support.timing import TIMEOUT

ALL = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port")
PROXY = "10.0.0.1"


def seen(
    peer: str = PROXY,
    trusted: tuple[str, ...] = ("10.0.0.0/8", "2001:db8:a::/48"),
    headers: tuple[str, ...] = ALL,
    host: str = "inner:8000",
    **fields: str,
) -> Environ:
    """The environ of a request from *peer* with header *fields*, as the application sees it."""
    environ: Environ = {
        "REMOTE_ADDR": peer,
        "REMOTE_PORT": "5000" if peer else "",
        "SERVER_NAME": "10.0.0.9",
        "SERVER_PORT": "8000",
        "HTTP_HOST": host,
        "wsgi.url_scheme": "http",
        **{f"HTTP_{name.upper()}": value for name, value in fields.items()},
    }
    config = ServerConfig(trusted_proxies=trusted, trusted_headers=headers)
    got: list[Environ] = []

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        got.append(environ)
        return []

    ForwardedMiddleware(cast(WSGIApplication, application), config)(environ, lambda *_: print)
    return got[0]


def client(**fields: Any) -> str:
    """Who the client is, in :func:`seen`."""
    return str(seen(**fields)["REMOTE_ADDR"])


# -- X-Forwarded-For -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("6.6.6.6, 203.0.113.5", "203.0.113.5"),
        ("6.6.6.6, 203.0.113.5, 10.1.2.3", "203.0.113.5"),
        ("10.6.6.6, 203.0.113.5, 10.1.2.3,10.4.5.6", "203.0.113.5"),
        ("10.1.2.3, 10.4.5.6", "10.1.2.3"),
        ("203.0.113.5:4711", "203.0.113.5"),
        ("2001:db8::7", "2001:db8::7"),
        ("2001:DB8:0::7", "2001:db8::7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("6.6.6.6, 2001:db8:a::1", "6.6.6.6"),
        ("garbage, 203.0.113.5", "203.0.113.5"),
        # What is no address hides who is behind it: the last who is known counts.
        ("203.0.113.5, garbage", PROXY),
        ("203.0.113.5, garbage, 10.1.2.3", "10.1.2.3"),
        ("203.0.113.5, unknown", PROXY),
        ("203.0.113.5,", PROXY),
        ("", PROXY),
        ("203.0.113.5\t", "203.0.113.5"),
        ("203.0.113.999", PROXY),
        ("203.0.113.5 6.6.6.6", PROXY),
        ("<script>", PROXY),
        ("6.6.6.6," * 5000 + "203.0.113.5", "203.0.113.5"),
        ("10.1.1.1," * 5000 + "10.2.2.2", "10.1.1.1"),
    ],
)
def test_the_right_most_that_is_no_listed_proxy_is_the_client(header: str, expected: str) -> None:
    assert client(x_forwarded_for=header) == expected


def test_who_is_not_listed_changes_nothing() -> None:
    said = {
        "x_forwarded_for": "6.6.6.6",
        "x_forwarded_proto": "https",
        "x_forwarded_host": "evil.example",
        "x_forwarded_port": "666",
    }
    environ = seen(peer="203.0.113.5", **said)
    assert environ["REMOTE_ADDR"] == "203.0.113.5"
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["HTTP_HOST"] == "inner:8000"
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("10.0.0.9", "8000")
    # What it said is there for whoever asks for just that.
    assert environ["HTTP_X_FORWARDED_FOR"] == "6.6.6.6"


def test_unix_sockets_are_listed_by_name() -> None:
    assert client(peer="", x_forwarded_for="203.0.113.5") == ""
    assert client(peer="", trusted=("unix",), x_forwarded_for="203.0.113.5") == "203.0.113.5"
    # Nobody else is trusted by that.
    assert client(trusted=("unix",), x_forwarded_for="203.0.113.5") == PROXY


def test_the_port_of_the_client_is_not_made_up() -> None:
    assert seen(x_forwarded_for="203.0.113.5")["REMOTE_PORT"] == ""
    assert seen(x_forwarded_for="203.0.113.5:4711")["REMOTE_PORT"] == "4711"


def test_ipv4_that_is_written_as_ipv6() -> None:
    proxies = Proxies(["10.0.0.0/8"])
    assert proxies.trusts_peer(("::ffff:10.1.2.3", 1, 0, 0))
    assert not proxies.trusts_peer(("::ffff:11.1.2.3", 1, 0, 0))
    assert Proxies(["fe80::/10"]).trusts_peer(("fe80::1%eth0", 1, 0, 2))
    assert not proxies.trusts_peer("")
    assert not proxies.trusts_peer(b"")


# -- scheme, host and port -------------------------------------------------------------


def test_a_header_that_is_not_listed_is_not_believed() -> None:
    said = {"x_forwarded_for": "6.6.6.6", "x_forwarded_proto": "https", "x_forwarded_host": "evil"}
    assert client(headers=("x-forwarded-proto",), **said) == PROXY
    environ = seen(headers=("x-forwarded-for",), **said)
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["HTTP_HOST"] == "inner:8000"
    by_default = ServerConfig().trusted_headers
    assert seen(headers=by_default, **said)["wsgi.url_scheme"] == "https"
    assert seen(headers=by_default, **said)["HTTP_HOST"] == "inner:8000"
    assert client(x_forwarded_for="", forwarded="for=6.6.6.6") == PROXY


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"x_forwarded_proto": "https"}, ("https", "inner:8000", "10.0.0.9", "8000")),
        ({"x_forwarded_proto": "HTTPS"}, ("https", "inner:8000", "10.0.0.9", "8000")),
        ({"x_forwarded_proto": "wss"}, ("https", "inner:8000", "10.0.0.9", "8000")),
        ({"x_forwarded_proto": "http, https"}, ("https", "inner:8000", "10.0.0.9", "8000")),
        ({"x_forwarded_proto": "gopher"}, ("http", "inner:8000", "10.0.0.9", "8000")),
        ({"x_forwarded_proto": "https, "}, ("http", "inner:8000", "10.0.0.9", "8000")),
        ({"x_forwarded_host": "a.example"}, ("http", "a.example", "a.example", "80")),
        ({"x_forwarded_host": "a.example:81"}, ("http", "a.example:81", "a.example", "81")),
        ({"x_forwarded_host": "evil, a.example"}, ("http", "a.example", "a.example", "80")),
        (
            {"x_forwarded_host": "[2001:db8::1]:81"},
            ("http", "[2001:db8::1]:81", "[2001:db8::1]", "81"),
        ),
        ({"x_forwarded_host": "a b"}, ("http", "inner:8000", "10.0.0.9", "8000")),
        ({"x_forwarded_host": "a/b"}, ("http", "inner:8000", "10.0.0.9", "8000")),
        ({"x_forwarded_host": "user@a"}, ("http", "inner:8000", "10.0.0.9", "8000")),
        ({"x_forwarded_port": "8443"}, ("http", "inner:8443", "10.0.0.9", "8443")),
        ({"x_forwarded_port": "0"}, ("http", "inner:8000", "10.0.0.9", "8000")),
        ({"x_forwarded_port": "99999999999"}, ("http", "inner:8000", "10.0.0.9", "8000")),
        ({"x_forwarded_port": "²"}, ("http", "inner:8000", "10.0.0.9", "8000")),
        (
            {"x_forwarded_proto": "https", "x_forwarded_host": "a.example"},
            ("https", "a.example", "a.example", "443"),
        ),
        (
            {
                "x_forwarded_proto": "https",
                "x_forwarded_host": "a.example",
                "x_forwarded_port": "8443",
            },
            ("https", "a.example:8443", "a.example", "8443"),
        ),
        (
            {
                "x_forwarded_proto": "https",
                "x_forwarded_host": "a.example",
                "x_forwarded_port": "443",
            },
            ("https", "a.example", "a.example", "443"),
        ),
    ],
)
def test_scheme_host_and_port(said: dict[str, str], expected: tuple[str, ...]) -> None:
    environ = seen(**said)
    keys = ("wsgi.url_scheme", "HTTP_HOST", "SERVER_NAME", "SERVER_PORT")
    assert tuple(environ[key] for key in keys) == expected
    assert environ.get("HTTPS", "") == ("on" if expected[0] == "https" else "")


def test_the_port_follows_the_scheme_where_the_host_has_none() -> None:
    environ = seen(host="a.example", x_forwarded_proto="https")
    assert (environ["HTTP_HOST"], environ["SERVER_PORT"]) == ("a.example", "443")


# -- Forwarded -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("for=203.0.113.5", ("203.0.113.5", "http", "inner:8000")),
        ('For="203.0.113.5:4711";Proto=HTTPS', ("203.0.113.5", "https", "inner:8000")),
        ('for="[2001:db8::7]:4711"; host="a.example"', ("2001:db8::7", "http", "a.example")),
        ("for=6.6.6.6;proto=https, for=203.0.113.5", ("203.0.113.5", "http", "inner:8000")),
        (
            "for=6.6.6.6;host=evil,"
            "for=203.0.113.5;proto=https;host=a.example , for=10.1.2.3;proto=http",
            ("203.0.113.5", "https", "a.example"),
        ),
        ("for=unknown;proto=https", (PROXY, "https", "inner:8000")),
        ("for=_hidden, for=10.1.2.3", ("10.1.2.3", "http", "inner:8000")),
        # A quote that the client leaves open swallows nothing.
        ('for="6.6.6.6, for=203.0.113.5', ("203.0.113.5", "http", "inner:8000")),
        ('x="\\", for=203.0.113.5', ("203.0.113.5", "http", "inner:8000")),
        ("for=203.0.113.5, for=6.6.6.6;for=7.7.7.7", (PROXY, "http", "inner:8000")),
        ("for=203.0.113.5, nonsense", (PROXY, "http", "inner:8000")),
        ("for 203.0.113.5", (PROXY, "http", "inner:8000")),
        ("", (PROXY, "http", "inner:8000")),
    ],
)
def test_forwarded(header: str, expected: tuple[str, str, str]) -> None:
    environ = seen(headers=("forwarded",), forwarded=header, x_forwarded_for="6.6.6.6")
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], environ["HTTP_HOST"]) == expected


def test_the_pieces() -> None:
    assert parse_element('a="x\\"y";B=c') == {"a": 'x"y', "b": "c"}
    assert parse_node("[::1]") == Node("::1", "")
    for text in ("", "::1:80:", "[::1", "1.2.3", "localhost", "1.2.3.4:", "0x7f.1"):
        assert parse_node(text) is None


# -- over sockets ----------------------------------------------------------------------


@pytest.fixture
def trusting(site: Path, backend: str) -> Any:
    """Starts a server that trusts whoever *options* say."""

    def start(*options: str) -> Program:
        command = words(backend, "--bind", f"unix:{site}/d.sock", "--bind", "127.0.0.1:0", *options)
        return Program(site, command)

    return start


def port_of(program: Program) -> int:
    """Where it listens."""
    return int(program.url().rpartition(":")[2])


def ask(program: Program, **headers: str) -> dict[str, Any]:
    """What the environ of a request with *headers* says."""
    port = port_of(program)
    return environ_of(http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT), **headers)


def test_a_listed_proxy_is_believed(trusting: Any) -> None:
    with trusting("--trusted-proxies", "127.0.0.0/8") as program:
        told = ask(program, X_Forwarded_For="6.6.6.6, 203.0.113.5", X_Forwarded_Proto="https")
        assert told["REMOTE_ADDR"] == "203.0.113.5"
        assert told["wsgi.url_scheme"] == "https"


def test_nobody_is_listed_by_default(trusting: Any, site: Path) -> None:
    with trusting() as program:
        told = ask(program, X_Forwarded_For="203.0.113.5", X_Forwarded_Proto="https")
        assert told["REMOTE_ADDR"] == "127.0.0.1"
        assert told["wsgi.url_scheme"] == "http"
        told = environ_of(UnixConnection(site / "d.sock"), X_Forwarded_For="203.0.113.5")
        assert told["REMOTE_ADDR"] == ""


def test_a_proxy_on_a_unix_socket(trusting: Any, site: Path) -> None:
    with trusting("--trusted-proxies", "unix") as program:
        port_of(program)
        told = environ_of(
            UnixConnection(site / "d.sock"),
            X_Forwarded_For="203.0.113.5",
            X_Forwarded_Proto="https",
        )
        assert (told["REMOTE_ADDR"], told["SERVER_PORT"]) == ("203.0.113.5", "443")
        assert ask(program, X_Forwarded_For="203.0.113.5")["REMOTE_ADDR"] == "127.0.0.1"


def test_the_origin_rule_sees_what_the_browser_sees(trusting: Any) -> None:
    """A page of https://a.example behind a proxy that ends its TLS."""
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "a.example"}
    options = ("--trusted-headers", "x-forwarded-proto", "--trusted-headers", "x-forwarded-host")
    origin = cast(Any, "https://a.example")
    with trusting("--trusted-proxies", "127.0.0.1", *options) as program:
        url = f"ws://127.0.0.1:{port_of(program)}/"
        with connect(url, additional_headers=headers, origin=origin) as client_:
            client_.send("hello")
            assert client_.recv() == "hello"
    with trusting("--trusted-proxies", "192.0.2.1", *options) as program:
        url = f"ws://127.0.0.1:{port_of(program)}/"
        with pytest.raises(InvalidStatus, match="403"):
            connect(url, additional_headers=headers, origin=origin)
