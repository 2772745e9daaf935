"""The PROXY protocol: what is one, what is none, and who may say it."""

from __future__ import annotations

import json
import re
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.sync.client import connect

from dualws.contract import Backend, Server, ServerConfig
from dualws.errors import ConfigurationError
from dualws.serving.proxy_protocol import BadPreamble, Preamble, parse
from support import frames
from support.certificates import Authority
from support.program import Program, python
from support.raw import RawClient
from support.sites import words
from support.timing import SCALE, TIMEOUT

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LISTED = ("--trusted-proxies", "127.0.0.1", "--proxy-protocol")


def block(command: int, family: int, data: bytes) -> bytes:
    """A preamble of version 2."""
    return SIGNATURE + bytes((command, family)) + len(data).to_bytes(2, "big") + data


V4 = (
    socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.9") + struct.pack("!HH", 4711, 443)
)
V6 = (
    socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    + socket.inet_pton(socket.AF_INET6, "2001:db8::9")
    + struct.pack("!HH", 4711, 443)
)
#: A field that says that the client used TLS, behind one of another kind.
TLS_USED = b"\x03\x00\x04\1\2\3\4" + b"\x20\x00\x05\x01\0\0\0\0"

GOOD: dict[str, tuple[bytes, Preamble]] = {
    "1, IPv4": (
        b"PROXY TCP4 192.0.2.7 198.51.100.9 4711 443\r\n",
        Preamble(44, ("192.0.2.7", 4711), ("198.51.100.9", 443)),
    ),
    "1, IPv6": (
        b"PROXY TCP6 2001:db8::7 2001:db8::9 4711 443\r\n",
        Preamble(45, ("2001:db8::7", 4711), ("2001:db8::9", 443)),
    ),
    "1, unknown": (b"PROXY UNKNOWN\r\n", Preamble(15)),
    "1, unknown with more": (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", Preamble(35)),
    "2, IPv4": (
        block(0x21, 0x11, V4),
        Preamble(28, ("192.0.2.7", 4711), ("198.51.100.9", 443)),
    ),
    "2, IPv6": (
        block(0x21, 0x21, V6),
        Preamble(52, ("2001:db8::7", 4711), ("2001:db8::9", 443)),
    ),
    "2, TLS": (
        block(0x21, 0x11, V4 + TLS_USED),
        Preamble(43, ("192.0.2.7", 4711), ("198.51.100.9", 443), True),
    ),
    "2, local": (block(0x20, 0x00, b""), Preamble(16)),
    "2, local with addresses": (block(0x20, 0x11, V4), Preamble(28)),
    "2, unspecified": (block(0x21, 0x00, b"xyz"), Preamble(19)),
    "2, unix": (block(0x21, 0x31, bytes(216)), Preamble(232)),
}

BAD = {
    "HTTP": b"GET / HTTP/1.1\r\n",
    "TLS": b"\x16\x03\x01\x02\x00",
    "another protocol": b"PROXY UDP4 192.0.2.7 198.51.100.9 4711 443\r\n",
    "lower case": b"proxy TCP4 192.0.2.7 198.51.100.9 4711 443\r\n",
    "no addresses": b"PROXY TCP4\r\n",
    "a name": b"PROXY TCP4 localhost 198.51.100.9 4711 443\r\n",
    "the other family": b"PROXY TCP4 ::1 ::1 4711 443\r\n",
    "a port too large": b"PROXY TCP4 192.0.2.7 198.51.100.9 65536 443\r\n",
    "a port with zeros": b"PROXY TCP4 192.0.2.7 198.51.100.9 04711 443\r\n",
    "a negative port": b"PROXY TCP4 192.0.2.7 198.51.100.9 -1 443\r\n",
    "too many words": b"PROXY TCP4 192.0.2.7 198.51.100.9 1 2 3\r\n",
    "two spaces": b"PROXY TCP4  192.0.2.7 198.51.100.9 4711 443\r\n",
    "a line without end": b"PROXY TCP4 " + b"1" * 100,
    "not ASCII": b"PROXY TCP4 \xef\xbc\x9192.0.2.7 198.51.100.9 4711 443\r\n",
    "version 3": block(0x31, 0x11, V4),
    "no such command": block(0x22, 0x11, V4),
    "too short for IPv4": block(0x21, 0x11, V4[:-1]),
    "too short for IPv6": block(0x21, 0x21, V4),
    "too long": SIGNATURE + b"\x21\x11\xff\xff" + V4,
    "a field cut off": block(0x21, 0x11, V4 + b"\x20\x00"),
    "a field longer than the block": block(0x21, 0x11, V4 + b"\x20\x00\x05\x01"),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_one(name: str) -> None:
    data, expected = GOOD[name]
    assert parse(data) == expected
    assert parse(data + b"GET / HTTP/1.1\r\n") == expected
    for size in range(len(data)):
        assert parse(data[:size]) is None


@pytest.mark.parametrize("name", BAD)
def test_what_is_none(name: str) -> None:
    with pytest.raises(BadPreamble):
        parse(BAD[name])


@given(
    st.one_of(
        st.binary(),
        st.binary().map(lambda b: SIGNATURE + b),
        st.binary().map(lambda b: b"PROXY " + b),
    )
)
def test_any_bytes_have_an_answer(data: bytes) -> None:
    try:
        found = parse(data)
    except BadPreamble:
        return
    assert found is None or 0 < found.size <= len(data)


# -- over sockets ----------------------------------------------------------------------


@contextmanager
def serving(site: Path, backend: str, *options: str) -> Iterator[tuple[Program, int]]:
    """A server, and where it listens."""
    with Program(site, words(backend, "--bind", "127.0.0.1:0", *options)) as program:
        found = program.stdout.wait_for(r" on https?://127\.0\.0\.1:(\d+) ")
        assert found is not None, program.text()
        yield program, int(found[1])
        assert "Traceback" not in program.stderr.text()


def told(client: RawClient) -> dict[str, Any]:
    """What the environ of the next request on *client* says."""
    client.send_request("GET", "/", ("Host", "example.com"))
    answer: dict[str, Any] = json.loads(client.read_response().body)
    return answer


def addresses(environ: dict[str, Any]) -> list[str]:
    """Client and server, as an environ has them."""
    return [environ[key] for key in ("REMOTE_ADDR", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT")]


def test_both_versions_in_every_piece(site: Path, backend: str) -> None:
    with serving(site, backend, *LISTED) as (_, port):
        for name in ("1, IPv4", "2, IPv4", "2, TLS"):
            data, _ = GOOD[name]
            for cut in (len(data), len(data) - 1, 1, 13, 20):
                with RawClient(("127.0.0.1", port)) as client:
                    client.send(data[:cut])
                    client.send(data[cut:])
                    environ = told(client)
                    assert addresses(environ) == ["192.0.2.7", "4711", "198.51.100.9", "443"]
                    secure = name == "2, TLS"
                    assert environ["wsgi.url_scheme"] == ("https" if secure else "http")
                    assert environ.get("HTTPS", "") == ("on" if secure else "")
                    # It counts for the connection, and is not looked for again.
                    assert addresses(told(client))[0] == "192.0.2.7"


def test_a_websocket_that_begins_in_the_same_packet(site: Path, backend: str) -> None:
    data, _ = GOOD["2, IPv6"]
    with (
        serving(site, backend, *LISTED) as (_, port),
        socket.create_connection(("127.0.0.1", port), TIMEOUT) as sock,
    ):
        sock.sendall(data)
        with connect("ws://example.com/", sock=sock) as client:
            client.send("hello")
            assert client.recv() == "hello"
    with serving(site, backend, *LISTED) as (_, port), RawClient(("127.0.0.1", port)) as client_:
        key = "dGhlIHNhbXBsZSBub25jZQ=="
        request = (
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        client_.send(data + request.encode() + frames.build(1, b"early"))
        assert client_.read_head().status == 101
        assert client_.read(7) == b"\x81\x05early"


def test_a_proxy_that_speaks_for_itself(site: Path, backend: str) -> None:
    with serving(site, backend, *LISTED) as (_, port):
        for name in ("1, unknown", "2, local"):
            with RawClient(("127.0.0.1", port)) as client:
                client.send(GOOD[name][0])
                assert addresses(told(client))[0] == "127.0.0.1"
                assert addresses(told(client))[3] == str(port)


def test_a_connection_without_it_is_closed(site: Path, backend: str) -> None:
    with serving(site, backend, *LISTED, "--tls-timeout", str(SCALE)) as (program, port):
        for data in (
            BAD["HTTP"] + b"Host: a\r\n\r\n",
            BAD["a name"],
            BAD["version 3"],
            b"PROXY T",
            b"",
        ):
            with RawClient(("127.0.0.1", port)) as client:
                client.send(data)
                client.assert_closed()
        assert program.stderr.wait_for("closed: bad PROXY protocol")
        assert program.stderr.wait_for("closed: it took too long")
        with RawClient(("127.0.0.1", port)) as client:
            client.send(GOOD["1, IPv4"][0])
            assert told(client)["REQUEST_METHOD"] == "GET"


def test_who_is_not_listed_is_not_heard(site: Path, backend: str) -> None:
    options = ("--trusted-proxies", "192.0.2.0/24", "--proxy-protocol")
    with (
        serving(site, backend, *options) as (program, port),
        RawClient(("127.0.0.1", port)) as client,
    ):
        client.send(GOOD["1, IPv4"][0] + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.assert_closed()
        assert program.stderr.wait_for("it is not one of the proxies in trusted_proxies")


def test_without_the_option_it_is_no_request(site: Path, backend: str) -> None:
    with serving(site, backend) as (_, port), RawClient(("127.0.0.1", port)) as client:
        client.send(GOOD["1, IPv4"][0] + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.read_response().status == 400
        client.assert_closed()


@pytest.mark.needs("openssl")
def test_before_tls(
    site: Path, backend: str, authority: Authority, certificate: tuple[Path, Path]
) -> None:
    files = ("--certfile", str(certificate[0]), "--keyfile", str(certificate[1]))
    with serving(site, backend, *LISTED, *files) as (_, port):
        sock = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        sock.sendall(GOOD["2, IPv4"][0])
        with authority.client().wrap_socket(sock, server_hostname="localhost") as tls:
            tls.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            answer = b""
            while data := tls.recv(65536):
                answer += data
        environ = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert environ["REMOTE_ADDR"] == "192.0.2.7"
        assert environ["SSL_PROTOCOL"] == "TLSv1.3"


def test_a_proxy_behind_the_proxy_is_believed_when_listed(site: Path, backend: str) -> None:
    """The announced client is who is asked about, not the connection's other end."""
    options = ("--trusted-proxies", "127.0.0.1", "--proxy-protocol")
    forwarded = ("X-Forwarded-For", "203.0.113.5")
    for listed, expected in (
        ((), "192.0.2.7"),
        (("--trusted-proxies", "192.0.2.7"), "203.0.113.5"),
    ):
        with (
            serving(site, backend, *options, *listed) as (_, port),
            RawClient(("127.0.0.1", port)) as client,
        ):
            client.send(GOOD["1, IPv4"][0])
            client.send_request("GET", "/", ("Host", "a"), forwarded)
            assert json.loads(client.read_response().body)["REMOTE_ADDR"] == expected


def test_a_backend_that_does_not_greet_serves_nobody_in_plain_text() -> None:
    class Other(Server):
        runtime = cast(Any, None)

        def run(self, **signals: Any) -> None: ...

        def stop(self) -> None: ...

    backend = cast(Backend, SimpleNamespace(name="other"))
    for config in (
        ServerConfig(proxy_protocol=True, trusted_proxies=("unix",)),
        ServerConfig(certfile="cert.pem"),
    ):
        with pytest.raises(ConfigurationError, match="'other' has neither TLS nor the PROXY"):
            Other(backend, lambda environ, start_response: [], config, ())


def test_it_needs_a_list(site: Path, backend: str) -> None:
    done = python(site, *words(backend, "--bind", "127.0.0.1:0", "--proxy-protocol"))
    assert done.returncode == 2
    assert re.search("no proxy is listed.*List the proxies", done.stderr)
