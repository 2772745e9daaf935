"""Several processes on the same sockets: TLS, unix sockets, systemd, and even shares."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from support.certificates import Authority
from support.crowd import answer, ask
from support.fleets import Start, end, open_in_each, open_securely
from support.fleets import diary as diary
from support.fleets import start as start
from support.proxies import free_ports
from support.raw import RawClient
from support.reconnecting import Crowd
from support.samples import samples, scrape
from support.timing import TIMEOUT, eventually


@pytest.mark.needs("openssl")
def test_tls_and_new_certificates_by_hup(start: Start, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("old", "/CN=old", "IP:127.0.0.1")
    context = ssl.create_default_context(cafile=authority.certificate)
    fleet = start(options=("--certfile", str(certificate), "--keyfile", str(key)))

    def connect_securely() -> RawClient:
        return open_securely(fleet, "/events/", context)

    def name_of(client: RawClient) -> str:
        assert isinstance(client.sock, ssl.SSLSocket)
        subject: Any = client.sock.getpeercert()
        return str(subject["subject"][0][0][1])

    with connect_securely() as client:
        assert ask(client, b"hello") == "hello"
        assert name_of(client) == "old"
        new, new_key = authority.issue("new", "/CN=new", "IP:127.0.0.1")
        new.replace(certificate)
        new_key.replace(key)
        old = fleet.workers()
        fleet.signal(signal.SIGHUP)
        assert answer(client) == "draining"
        assert end(client) == 1012
    eventually(lambda: not fleet.workers() & old, what="old workers stay")
    with connect_securely() as client:
        assert name_of(client) == "new"


def test_a_unix_socket_beside_an_address(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "site.sock"
    fleet = start(options=("--bind", f"unix:{path}"))
    clients = open_in_each(fleet)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(TIMEOUT)
        sock.connect(str(path))
        sock.sendall(b"GET /ping/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answered = b"".join(iter(lambda: sock.recv(4096), b""))
    assert int(answered.rpartition(b"\r\n")[2]) in clients
    fleet.signal(signal.SIGTERM)
    assert [end(client) for client in clients.values()] == [1012, 1012]
    assert fleet.wait() == 0
    assert not path.exists()


def test_a_file_that_somebody_has_removed(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "site.sock"
    fleet = start(options=("--bind", f"unix:{path}"))
    path.unlink()
    fleet.signal(signal.SIGTERM)
    assert fleet.wait() == 0
    assert "Traceback" not in fleet.text()


def test_the_file_of_another_server_stays(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "site.sock"
    fleet = start(options=("--bind", f"unix:{path}"))
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        fleet.signal(signal.SIGTERM)
        assert fleet.wait() == 0
        assert path.is_socket()


def test_the_file_of_an_inherited_socket_stays(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "inherited.sock"
    with socket.socket(socket.AF_UNIX) as parents:
        parents.bind(str(path))
        parents.listen()
        number = parents.fileno()
        fleet = start(options=("--bind", f"fd://{number}"), pass_fds=[number])
        fleet.signal(signal.SIGTERM)
        assert fleet.wait() == 0
        assert path.is_socket()


def test_hup_with_another_file_removes_the_one_before(start: Start, tmp_path: Path) -> None:
    first, second = tmp_path / "first.sock", tmp_path / "second.sock"
    fleet = start(bind=None, config=f"bind = ['127.0.0.1:0', 'unix:{first}']\n")
    old = fleet.workers()
    text = f"bind = ['127.0.0.1:0', 'unix:{second}']\n"
    (tmp_path / "gunicorn.conf.py").write_text(text)
    fleet.signal(signal.SIGHUP)
    eventually(lambda: not fleet.workers() & old, what="old workers stay")
    eventually(lambda: second.is_socket() and not first.exists(), what="the files")
    fleet.signal(signal.SIGTERM)
    assert fleet.wait() == 0
    assert not second.exists()


# -- sharing -----------------------------------------------------------------------------


@pytest.mark.parametrize("at_a_time", [1, 100])
def test_connections_are_spread_evenly(start: Start, at_a_time: int) -> None:
    (port,) = free_ports(1)
    figures = "--metrics-bind", f"127.0.0.1:{port}"
    fleet = start(workers=4, options=("--drain-window", "2", *figures))

    def ready() -> bool:
        """A worker that does not serve yet takes no share."""
        try:
            return samples(scrape(port))["dualws_workers_ready"] == 4
        except ConnectionRefusedError:  # not even one
            return False

    eventually(ready, what="not all serve")

    async def open_many() -> Counter[int]:
        crowd = Crowd(fleet.address, "/events/")
        await crowd.open(1000, at_a_time)
        shares = Counter(crowd.served_by.values())
        crowd.returning = False
        fleet.signal(signal.SIGTERM)
        await crowd.gone()
        return shares

    shares = asyncio.run(open_many())
    assert len(shares) == 4
    assert max(shares.values()) <= 1.3 * 250, shares
    assert fleet.wait() == 0


_ACTIVATE = """
import os, sys
os.dup2(int(os.environ.pop("SOCKET")), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def test_systemd_gives_the_socket_and_is_told(start: Start, tmp_path: Path) -> None:
    notices: list[str] = []
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hearing,
    ):
        hearing.bind(str(tmp_path / "notify"))
        hearing.settimeout(TIMEOUT)
        fleet = start(
            bind=None,
            launcher=("-c", _ACTIVATE),
            env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "SOCKET": str(listening.fileno())},
            pass_fds=(listening.fileno(),),
        )

        def told(what: str) -> None:
            while not any(what in notice for notice in notices):
                notices.append(hearing.recv(4096).decode())

        told("READY=1")
        assert fleet.address == listening.getsockname()
        clients = open_in_each(fleet)
        notices.clear()
        fleet.signal(signal.SIGHUP)
        told("RELOADING=1")
        assert "MONOTONIC_USEC=" in notices[0]
        assert [end(client) for client in clients.values()] == [1012, 1012]
        told("READY=1")
        fleet.signal(signal.SIGTERM)
        told("STOPPING=1")
        assert fleet.wait() == 0
