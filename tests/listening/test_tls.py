"""TLS: certificates and their names, clients' certificates, versions, slow and strange clients."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import websocket as websocket_client

from support.certificates import PASSWORD, Authority
from support.machine import find
from support.program import Program
from support.sites import environ_of, words
from support.timing import SCALE, TIMEOUT

pytestmark = pytest.mark.needs("openssl")

_HTTPS = re.compile(r" on https://127\.0\.0\.1:(\d+) ")

Files = tuple[Path, Path]


class Secure:
    """A server with TLS.

    :param program: its process
    :param port: where it listens
    """

    def __init__(self, program: Program, port: int) -> None:
        self.program = program
        self.port = port

    def tell(self, context: ssl.SSLContext, host: str = "127.0.0.1") -> dict[str, Any]:
        """What the environ of a request says."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, context=context, timeout=TIMEOUT
        )
        if host != "127.0.0.1":
            connection.sock = context.wrap_socket(self.connect(), server_hostname=host)
        return environ_of(connection)

    def open(
        self, context: ssl.SSLContext, **options: Any
    ) -> contextlib.closing[websocket_client.WebSocket]:
        """A websocket.

        By a client of one thread: Python 3.11 loses what one thread sends over TLS while another
        reads.
        """
        return contextlib.closing(
            websocket_client.create_connection(
                f"wss://127.0.0.1:{self.port}/",
                timeout=TIMEOUT,
                sslopt={"context": context},
                **{"suppress_origin": True, **options},
            )
        )

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), TIMEOUT)

    def subject(self, context: ssl.SSLContext, host: str) -> str:
        """The common name of the certificate that a client for *host* is shown."""
        with context.wrap_socket(self.connect(), server_hostname=host) as tls:
            told: Any = tls.getpeercert()
            return str(dict(part[0] for part in told["subject"])["commonName"])


@contextmanager
def serving(site: Path, backend: str, files: Files, *options: str) -> Iterator[Secure]:
    """A server with the certificate and key *files*."""
    command = words(
        backend,
        *("--bind", "127.0.0.1:0", "--certfile", str(files[0]), "--keyfile", str(files[1])),
        *options,
    )
    with Program(site, command) as program:
        found = program.stdout.wait_for(_HTTPS)
        assert found is not None, program.text()
        yield Secure(program, int(found[1]))
        assert "Traceback" not in program.stderr.text()


# -- what it says ----------------------------------------------------------------------


def test_requests_and_websockets(
    site: Path, backend: str, authority: Authority, certificate: Files
) -> None:
    context = authority.client()
    with serving(site, backend, certificate) as server:
        told = server.tell(context)
        assert told["wsgi.url_scheme"] == "https"
        assert told["HTTPS"] == "on"
        assert told["SSL_PROTOCOL"] == "TLSv1.3"
        assert told["SSL_CIPHER"].startswith("TLS_")
        assert told["SSL_CLIENT_VERIFY"] == "NONE"
        own = f"https://127.0.0.1:{server.port}"
        with server.open(context, suppress_origin=False, origin=own) as client:
            for size in (0, 1, 16384, 16385, 700_000):
                client.send_binary(bytes(size))
                assert client.recv() == bytes(size)
        with pytest.raises(websocket_client.WebSocketBadStatusException, match="403"):
            server.open(context, suppress_origin=False, origin=own.replace("https", "http"))


@pytest.mark.needs("curl")
def test_curl(site: Path, backend: str, authority: Authority, certificate: Files) -> None:
    curl = find("curl")
    assert curl is not None
    with serving(site, backend, certificate) as server:
        done = subprocess.run(
            [
                *(curl, "-sS", "-v", "--cacert", authority.certificate),
                *("--connect-to", f"localhost:{server.port}:127.0.0.1:{server.port}"),
                f"https://localhost:{server.port}/",
            ],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=True,
        )
        assert json.loads(done.stdout)["SSL_TLS_SNI"] == "localhost"
        assert "server accepted http/1.1" in done.stderr


def test_only_http_1_1_is_agreed_on(
    site: Path, backend: str, authority: Authority, certificate: Files
) -> None:
    with serving(site, backend, certificate) as server:
        for offered, agreed in ((["h2", "http/1.1"], "http/1.1"), (["h2"], None)):
            context = authority.client()
            context.set_alpn_protocols(offered)
            with context.wrap_socket(server.connect(), server_hostname="localhost") as tls:
                assert tls.selected_alpn_protocol() == agreed


def test_nothing_below_1_2(
    site: Path, backend: str, authority: Authority, certificate: Files
) -> None:
    openssl = find("openssl")
    assert openssl is not None
    with serving(site, backend, certificate) as server:
        answers = {}
        for version in ("tls1_1", "tls1_2", "tls1_3"):
            # A client without scruples, so that it is the server that refuses.
            done = subprocess.run(
                [
                    *(openssl, "s_client", f"-{version}", "-cipher", "ALL:@SECLEVEL=0"),
                    *("-connect", f"127.0.0.1:{server.port}", "-CAfile", authority.certificate),
                ],
                input="",
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=False,
            )
            answers[version] = "Verify return code: 0 (ok)" in done.stdout and not done.returncode
        assert answers == {"tls1_1": False, "tls1_2": True, "tls1_3": True}


def test_ciphers(site: Path, backend: str, authority: Authority, certificate: Files) -> None:
    chosen = "ECDHE-ECDSA-CHACHA20-POLY1305"
    with serving(site, backend, certificate, "--ciphers", chosen) as server:
        context = authority.client()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        assert server.tell(context)["SSL_CIPHER"] == chosen


def test_certificates_by_name(
    site: Path, backend: str, authority: Authority, certificate: Files
) -> None:
    blue, key = authority.issue("blue", "/CN=blue", "DNS:blue.example")
    both, _ = authority.issue("many", "/CN=many", "DNS:*.many.example")
    # Certificate and key in one file.
    both.write_bytes(both.read_bytes() + both.with_suffix(".key").read_bytes())
    names = (f"blue.example={blue},{key}", f"*.many.example={both}")
    options = [word for name in names for word in ("--sni-certificates", name)]
    context = authority.client()
    with serving(site, backend, certificate, *options) as server:
        assert server.subject(context, "localhost") == "server"
        assert server.subject(context, "blue.example") == "blue"
        assert server.subject(context, "BLUE.example") == "blue"
        assert server.subject(context, "one.many.example") == "many"
        assert server.tell(context, "blue.example")["SSL_TLS_SNI"] == "blue.example"
        context.check_hostname = False
        assert server.subject(context, "one.two.many.example") == "server"
        assert server.subject(context, "127.0.0.1") == "server"


def test_a_key_with_a_password(site: Path, backend: str, authority: Authority) -> None:
    files = authority.issue("secret", "/CN=secret", "IP:127.0.0.1", password=PASSWORD)
    (site / "password").write_text(PASSWORD + "\n")
    with serving(site, backend, files, "--keyfile-password-file", "password") as server:
        assert server.tell(authority.client())["HTTPS"] == "on"


# -- clients' certificates -------------------------------------------------------------


def asking(authority: Authority, how: str) -> tuple[str, ...]:
    """Options that ask clients for certificates."""
    return ("--client-certificates", how, "--ca-certs", str(authority.certificate))


def test_a_clients_certificate(
    site: Path, backend: str, authority: Authority, certificate: Files
) -> None:
    own = authority.issue("ada", "/C=GB/O=Engines, Ltd/CN=Ada Łovelace")
    with serving(site, backend, certificate, *asking(authority, "optional")) as server:
        assert server.tell(authority.client())["SSL_CLIENT_VERIFY"] == "NONE"
        told = server.tell(authority.client(*own))
        assert told["SSL_CLIENT_VERIFY"] == "SUCCESS"
        name = told["SSL_CLIENT_S_DN"].encode("latin-1").decode()
        assert name == "CN=Ada Łovelace,O=Engines\\, Ltd,C=GB"
        assert told["SSL_CLIENT_S_DN_CN"].encode("latin-1").decode() == "Ada Łovelace"
        assert told["SSL_CLIENT_I_DN"] == "CN=Test Authority"
        assert told["SSL_CLIENT_CERT"].strip() in own[0].read_text()
        assert int(told["SSL_CLIENT_M_SERIAL"], 16)
        with server.open(authority.client(*own)) as client:
            client.send("hello")
            assert client.recv() == "hello"


def test_a_certificate_that_is_required(
    site: Path, backend: str, authority: Authority, certificate: Files
) -> None:
    own = authority.issue("grace", "/CN=Grace")
    with serving(site, backend, certificate, *asking(authority, "required")) as server:
        assert server.tell(authority.client(*own))["SSL_CLIENT_S_DN"] == "CN=Grace"
        with pytest.raises((ssl.SSLError, ConnectionError)):
            server.tell(authority.client())
        assert server.program.stderr.wait_for("PEER_DID_NOT_RETURN_A_CERTIFICATE")


@pytest.mark.parametrize("how", ["optional", "required"])
def test_a_certificate_of_somebody_elses(
    site: Path, backend: str, authority: Authority, certificate: Files, how: str
) -> None:
    other = Authority(site, "Other Authority")
    own = other.issue("mallory", "/CN=Ada")
    with serving(site, backend, certificate, *asking(authority, how)) as server:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            server.tell(authority.client(*own))
        assert server.program.stderr.wait_for("CERTIFICATE_VERIFY_FAILED")
        assert server.tell(authority.client(*authority.issue("joan", "/CN=Joan")))["HTTPS"] == "on"


def test_what_a_client_only_claims_is_not_in_the_environ(
    site: Path, backend: str, authority: Authority, certificate: Files
) -> None:
    with serving(site, backend, certificate) as server:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", server.port, context=authority.client(), timeout=TIMEOUT
        )
        told = environ_of(connection, SSL_CLIENT_VERIFY="SUCCESS", SSL_CLIENT_S_DN="CN=Ada")
        assert told["SSL_CLIENT_VERIFY"] == "NONE"
        assert "SSL_CLIENT_S_DN" not in told


# -- reloading -------------------------------------------------------------------------


def test_hangup_reloads_and_leaves_connections_alone(
    site: Path, backend: str, authority: Authority
) -> None:
    files = (site / "cert.pem", site / "key.pem")

    def put(name: str) -> None:
        issued = authority.issue(name, f"/CN={name}", "IP:127.0.0.1")
        for source, file in zip(issued, files, strict=True):
            shutil.copy(source, file)

    put("first")
    context = authority.client()
    with serving(site, backend, files) as server:
        assert server.subject(context, "127.0.0.1") == "first"
        with server.open(context) as client:
            put("second")
            server.program.process.send_signal(signal.SIGHUP)
            assert server.program.stderr.wait_for("The certificates were reloaded")
            assert server.subject(context, "127.0.0.1") == "second"
            client.send("still here")
            assert client.recv() == "still here"
            files[0].write_text("broken")
            server.program.process.send_signal(signal.SIGHUP)
            assert server.program.stderr.wait_for("were not reloaded, the old ones stay: .*cert")
            assert server.subject(context, "127.0.0.1") == "second"


# -- slow and strange clients ----------------------------------------------------------


def test_a_handshake_that_is_not_made_holds_up_nobody_and_ends(
    site: Path, backend: str, authority: Authority, certificate: Files
) -> None:
    with serving(site, backend, certificate, "--tls-timeout", str(SCALE)) as server:
        silent = [server.connect() for _ in range(30)]
        for sock in silent[:10]:
            # The beginning of a handshake record.
            sock.sendall(b"\x16\x03\x01")
        assert server.tell(authority.client())["HTTPS"] == "on"
        for sock in silent:
            with sock:
                assert sock.recv(1) == b""
        assert server.program.stderr.wait_for("closed: it took too long")


def test_plain_http_is_told_to_speak_tls(site: Path, backend: str, certificate: Files) -> None:
    with serving(site, backend, certificate, "--access-log") as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)
        connection.request("GET", "/plain?")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (400, b"This server speaks https://\n")
        connection.close()
        assert server.program.stdout.wait_for(r'"GET /plain\? HTTP/1\.1" 400 28 "-" "-"')


def send_noise(sock: socket.socket) -> None:
    """Send a record of application data past the TLS of *sock*."""
    with socket.socket(fileno=socket.dup(sock.fileno())) as raw:
        raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))


def test_noise_ends_its_own_connection(
    site: Path, backend: str, authority: Authority, certificate: Files
) -> None:
    context = authority.client()
    with serving(site, backend, certificate) as server:
        with server.connect() as sock:
            sock.sendall(b"\0" * 100)
            while sock.recv(4096):
                pass
        # Records that nobody encrypted, in HTTP and in a websocket.
        connection = http.client.HTTPSConnection(
            "127.0.0.1", server.port, context=context, timeout=TIMEOUT
        )
        connection.request("GET", "/")
        assert connection.getresponse().read()
        send_noise(connection.sock)
        # An alert, a reset, or just its end.
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            assert connection.sock.recv(1) == b""
        connection.close()
        with server.open(context) as client:
            send_noise(client.sock)
            with pytest.raises(
                (ssl.SSLError, ConnectionError, websocket_client.WebSocketConnectionClosedException)
            ):
                client.recv()
        assert server.tell(context)["HTTPS"] == "on"


def test_a_server_that_stops_does_not_wait_for_handshakes(
    site: Path, backend: str, certificate: Files
) -> None:
    with serving(site, backend, certificate) as server, server.connect() as sock:
        sock.sendall(b"\x16")
        assert server.program.stop(signal.SIGTERM) == 0


def test_many_handshakes_and_downloads_at_once(
    site: Path, backend: str, authority: Authority, certificate: Files
) -> None:
    context = authority.client()
    with serving(site, backend, certificate) as server:
        told: list[str] = []

        def ask() -> None:
            for _ in range(5):
                told.append(server.tell(context)["HTTPS"])

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
        assert told == ["on"] * 40


def test_each_direction_ends_by_itself(
    site: Path, backend: str, authority: Authority, certificate: Files
) -> None:
    """The client's close_notify ends its requests; the answer comes, and then the server's."""
    context = authority.client()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with serving(site, backend, certificate) as server, server.connect() as sock:

        def pump(step: Any) -> Any:
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    sock.sendall(outgoing.read())
                    data = sock.recv(65536)
                    if data:
                        incoming.write(data)
                    else:
                        incoming.write_eof()

        pump(tls.do_handshake)
        tls.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        with pytest.raises(ssl.SSLWantReadError):
            tls.unwrap()
        sock.sendall(outgoing.read())
        received = b""
        while data := pump(lambda: _read(tls)):
            received += data
        assert received.startswith(b"HTTP/1.1 200 ")
        assert received.endswith(b"}")


def _read(tls: ssl.SSLObject) -> bytes:
    try:
        return tls.read(65536)
    except ssl.SSLZeroReturnError:
        return b""


def test_a_client_that_reads_slowly_gets_all_of_it_once(
    site: Path, backend: str, authority: Authority, certificate: Files
) -> None:
    limit = 0.5 * SCALE
    with serving(site, backend, certificate, "--response-timeout", str(limit)) as server:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(TIMEOUT)
        sock.connect(("127.0.0.1", server.port))
        context = authority.client()
        with context.wrap_socket(sock, server_hostname="localhost") as tls:
            tls.sendall(b"GET /large/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            received = bytearray()
            began = time.monotonic()
            while time.monotonic() - began < 4 * limit:
                received += tls.recv(20_000)
                time.sleep(limit / 20)
            assert len(received) < 3_000_000, "too fast to prove anything"
            while data := tls.recv(1 << 20):
                received += data
        body = bytes(received).partition(b"\r\n\r\n")[2]
        assert body == b"".join(b"%07d\n" % number for number in range(750_000))


def test_code_that_takes_the_socket(
    site: Path, backend: str, authority: Authority, certificate: Files
) -> None:
    context = authority.client()
    request = (
        "GET /raw/ HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    data = bytes(range(256)) * 2000
    with (
        serving(site, backend, certificate) as server,
        context.wrap_socket(server.connect(), server_hostname="127.0.0.1") as tls,
    ):
        tls.sendall(request.encode() + b"early")
        received = b""
        while not received.endswith(b"early"):
            received += tls.recv(65536)
        assert received == b"HTTP/1.1 101 Switching Protocols\r\n\r\nearly"
        sender = threading.Thread(target=tls.sendall, args=(data,))
        sender.start()
        received = b""
        while len(received) < len(data):
            received += tls.recv(65536)
        sender.join(TIMEOUT)
        assert received == data
        # The echo ends with what it reads, and says so.
        assert tls.unwrap().recv(1) == b""
