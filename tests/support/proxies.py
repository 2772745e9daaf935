"""Reverse proxies in processes of their own, with the configurations of ``deploy/``.

Law: what runs is the file that people copy, with nothing replaced but addresses, the paths of
certificates, and what a test says (:func:`replaced` fails on what is not there). A proxy is
stopped by its process id.
"""

from __future__ import annotations

import dataclasses
import math
import os
import socket
import ssl
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.certificates import NEW_KEY, openssl
from support.machine import find
from support.raw import RawClient
from support.server import Output, end
from support.timing import SCALE, TIMEOUT, eventually

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"

#: The name that the configurations serve.
HOST = "example.com"


def replaced(text: str, changes: Mapping[str, str]) -> str:
    """*text* with every key of *changes* replaced; each must be there."""
    for old, new in changes.items():
        assert old in text, f"{old!r} is not in\n{text}"
        text = text.replace(old, new)
    return text


@dataclasses.dataclass(frozen=True)
class Certificate:
    """A certificate for :data:`HOST` that signs itself."""

    chain: Path
    key: Path

    @classmethod
    def make(cls, folder: Path) -> Certificate:
        """A new one in *folder*; ``both.pem`` there holds chain and key."""
        made = cls(folder / "fullchain.pem", folder / "privkey.pem")
        openssl(
            *("req", "-x509", *NEW_KEY, "-nodes", "-days", "2", "-subj", f"/CN={HOST}"),
            *("-addext", f"subjectAltName=DNS:{HOST}"),
            *("-keyout", made.key, "-out", made.chain),
        )
        made.both.write_text(made.chain.read_text() + made.key.read_text())
        return made

    @property
    def both(self) -> Path:
        """Chain and key in one file."""
        return self.chain.with_name("both.pem")

    def context(self, *alpn: str) -> ssl.SSLContext:
        """For a client that trusts this certificate only."""
        context = ssl.create_default_context(cafile=str(self.chain))
        context.set_alpn_protocols(list(alpn))
        return context


class TLSClient(RawClient):
    """The strict client through TLS.

    :param source: address of this machine that the client comes from
    """

    def __init__(
        self, address: tuple[str, int], certificate: Certificate, source: str = "127.0.0.1"
    ) -> None:
        # The base class would connect at once, from any address.
        plain = socket.create_connection(address, TIMEOUT, source_address=(source, 0))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = certificate.context("http/1.1").wrap_socket(plain, server_hostname=HOST)
        self._buffer = bytearray()


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on now, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


class Proxy:
    """A proxy on free ports in front of servers; a subclass for each program.

    :param folder: an empty folder for its files
    :param upstreams: ports of the two servers
    :param certificate: what it shows to clients
    :param changes: more replacements in its configuration
    """

    #: Key in :data:`support.machine.PROGRAMS`.
    program = ""
    #: Whether it takes websockets over HTTP/2 (RFC 8441) from clients.
    extended_connect = False
    #: Whether it gives a new websocket to the server that has the fewest.
    counts_connections = True
    #: Replacement that lets it drop a silent websocket after :data:`SHORT` seconds.
    short_idle: Mapping[str, str] = {}

    def __init__(
        self,
        folder: Path,
        upstreams: Sequence[int],
        certificate: Certificate,
        changes: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.upstreams = upstreams
        self.certificate = certificate
        self.changes = changes or {}
        self.plain_port, self.port = free_ports(2)
        path = find(self.program)
        assert path is not None
        command = [path, *self.configure()]
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.output = Output(self.process.stdout)
        try:
            eventually(self._answers, what=f"{' '.join(command)} does not listen")
        except BaseException as error:
            self.stop()
            error.add_note(self.output.text())
            raise

    def configure(self) -> list[str]:
        """Write the configuration; the words of the command line after the program."""
        raise NotImplementedError

    def deployed(self, name: str, changes: Mapping[str, str]) -> str:
        """The file *name* of ``deploy/`` for this proxy, with addresses replaced.

        :param changes: more replacements, beside those of the servers' addresses
        """
        text = (DEPLOY / name).read_text()
        one, two = self.upstreams
        servers = {"127.0.0.1:8001": f"127.0.0.1:{one}", "127.0.0.1:8002": f"127.0.0.1:{two}"}
        here = {old: new for old, new in self.changes.items() if old in text}
        return replaced(text, {**servers, **changes, **here})

    def _answers(self) -> bool:
        assert self.process.poll() is None, "it has ended"
        try:
            self.connect().close()
        except OSError:
            return False
        return True

    @property
    def netloc(self) -> str:
        """What a client puts into ``Host``."""
        return f"{HOST}:{self.port}"

    @property
    def address(self) -> tuple[str, int]:
        """Where TLS is spoken."""
        return "127.0.0.1", self.port

    def connect(self, source: str = "127.0.0.1") -> TLSClient:
        """A connection that speaks HTTP/1.1."""
        return TLSClient(self.address, self.certificate, source)

    def stop(self) -> None:
        """End it."""
        end(self.process)
        self.output.wait_for_end()


#: Seconds after which a proxy with :attr:`Proxy.short_idle` drops a silent websocket.
SHORT = math.ceil(2 * SCALE)


class Nginx(Proxy):
    """nginx of the distribution."""

    program = "nginx"
    short_idle = {"proxy_read_timeout 60s": f"proxy_read_timeout {SHORT}s"}

    #: What ``/etc/nginx/nginx.conf`` is elsewhere.
    MAIN = """
        daemon off;
        user root;
        worker_processes 1;
        pid {folder}/nginx.pid;
        error_log stderr warn;
        events {{ worker_connections 1024; }}
        http {{
            access_log off;
            client_body_temp_path {folder}/body;
            proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/fastcgi;
            uwsgi_temp_path {folder}/uwsgi;
            scgi_temp_path {folder}/scgi;
            include {folder}/dualws.conf;
        }}
    """

    def configure(self) -> list[str]:
        changes = {
            "listen 443 ": f"listen 127.0.0.1:{self.port} ",
            "listen 80;": f"listen 127.0.0.1:{self.plain_port};",
            "/etc/ssl/example.com/fullchain.pem": str(self.certificate.chain),
            "/etc/ssl/example.com/privkey.pem": str(self.certificate.key),
        }
        site = self.deployed("nginx/dualws.conf", changes)
        (self.folder / "dualws.conf").write_text(site)
        main = self.folder / "nginx.conf"
        main.write_text(self.MAIN.format(folder=self.folder))
        return ["-e", "stderr", "-p", str(self.folder), "-c", str(main)]


class HAProxy(Proxy):
    """HAProxy of the distribution."""

    program = "haproxy"
    extended_connect = True
    short_idle = {"timeout tunnel 60s": f"timeout tunnel {SHORT}s"}

    def configure(self) -> list[str]:
        changes = {
            "maxconn 50000": "maxconn 1000",
            "bind :443 ": f"bind 127.0.0.1:{self.port} ",
            "bind :80\n": f"bind 127.0.0.1:{self.plain_port}\n",
            "/etc/haproxy/example.com.pem": str(self.certificate.both),
        }
        path = self.folder / "haproxy.cfg"
        path.write_text(self.deployed("haproxy/haproxy.cfg", changes))
        return ["-db", "-f", str(path)]


class Caddy(Proxy):
    """Caddy of its wheel."""

    program = "caddy"

    def configure(self) -> list[str]:
        certificate = f"tls {self.certificate.chain} {self.certificate.key}"
        changes = {"\nexample.com {": f"\nhttps://{HOST}:{self.port} {{\n\t{certificate}"}
        options = f"{{\n\tadmin off\n\tpersist_config off\n\thttp_port {self.plain_port}\n}}\n"
        path = self.folder / "Caddyfile"
        path.write_text(options + self.deployed("caddy/Caddyfile", changes))
        return ["run", "--config", str(path), "--adapter", "caddyfile"]


class Traefik(Proxy):
    """Traefik of its wheel."""

    program = "traefik"
    counts_connections = False

    def configure(self) -> list[str]:
        changes = {
            "/etc/ssl/example.com/fullchain.pem": str(self.certificate.chain),
            "/etc/ssl/example.com/privkey.pem": str(self.certificate.key),
        }
        dynamic = self.folder / "dynamic.yml"
        dynamic.write_text(self.deployed("traefik/dynamic.yml", changes))
        static = replaced(
            (DEPLOY / "traefik" / "traefik.yml").read_text(),
            {
                '":80"': f'"127.0.0.1:{self.plain_port}"',
                '":443"': f'"127.0.0.1:{self.port}"',
                "/etc/traefik/dynamic.yml": str(dynamic),
            },
        )
        path = self.folder / "traefik.yml"
        # It would ask the web whether there is a newer one.
        path.write_text(static + "global:\n  checkNewVersion: false\n")
        return [f"--configFile={path}"]


#: Those that the documentation describes.
PROXIES: tuple[type[Proxy], ...] = (Nginx, HAProxy, Caddy, Traefik)
