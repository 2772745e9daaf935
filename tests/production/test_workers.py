"""Several processes: gunicorn's signals and settings, with live websockets."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import ssl
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from support.certificates import Authority
from support.crowd import ask, open_socket
from support.diary import Diary
from support.frames import CLOSE, TEXT, build, close_payload, handshake, read_frame
from support.raw import RawClient
from support.reconnecting import Crowd
from support.timing import TIMEOUT, eventually
from support.workers import Fleet

Start = Callable[..., Fleet]
SHORT = ("--drain-window", "0.5", "--close-timeout", "1")
RUNNERS = ["dualws", "gunicorn"]
#: gunicorn's command has no options of ours
SETTINGS = (
    '{"ROOT_URLCONF": "support.project.draining", "DUALWS_DRAIN_WINDOW": 0.5, '
    '"DUALWS_CLOSE_TIMEOUT": 1}'
)


@pytest.fixture
def start(backend: str, tmp_path: Path) -> Iterator[Start]:
    """``start(workers=2, config=…)``: a fleet, stopped after the test."""
    fleets: list[Fleet] = []

    def begin(**options: Any) -> Fleet:
        environ = {"DUALWS_TEST_SETTINGS": SETTINGS, **options.pop("env", {})}
        fleet = Fleet(tmp_path, backend, env=environ, **options)
        fleets.append(fleet)
        return fleet

    yield begin
    for fleet in fleets:
        fleet.stop()
        sys.stderr.write(fleet.text())


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    """What the handlers write."""
    return Diary(tmp_path)


def who(client: RawClient) -> int:
    """The process that serves a websocket."""
    return int(ask(client, b"who").split()[0])


def end(client: RawClient) -> int | None:
    """Read to the close frame and answer it; its code."""
    while (frame := read_frame(client)).opcode != CLOSE:
        assert frame.opcode == TEXT
    client.send(build(CLOSE, close_payload(frame.close_code or 1000)))
    client.assert_closed()
    client.close()
    return frame.close_code


def open_in_each(fleet: Fleet, path: str = "/blocking/") -> dict[int, RawClient]:
    """A websocket in each worker."""
    clients: dict[int, RawClient] = {}
    spare: list[RawClient] = []

    def everywhere() -> bool:
        client = open_socket(fleet, f"{path}?key=x")  # type: ignore[arg-type]
        pid = who(client)
        if pid in clients:
            spare.append(client)
        else:
            clients[pid] = client
        return len(clients) == len(fleet.workers())

    eventually(everywhere, what="some worker gets no websocket")
    for client in spare:
        client.send(build(CLOSE, close_payload(1000)))
        read_frame(client)
        client.close()
    return clients


# -- the end ----------------------------------------------------------------------------


@pytest.mark.parametrize("runner", RUNNERS)
def test_term_drains_all_workers(start: Start, diary: Diary, runner: str) -> None:
    fleet = start(runner=runner)
    clients = open_in_each(fleet, "/events/")
    fleet.signal(signal.SIGTERM)
    assert [end(client) for client in clients.values()] == [1012, 1012]
    assert fleet.wait() == 0
    assert [told for told in diary.told("closed") if told[1] != 1000] == [["x", 1012, True]] * 2
    assert "Traceback" not in fleet.text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_int_and_quit_are_quick(start: Start, number: int) -> None:
    fleet = start(options=("--drain-window", "60"))
    clients = open_in_each(fleet)
    fleet.signal(number)
    for client in clients.values():
        assert end(client) == 1001
    assert fleet.wait() == 0


def test_a_killed_worker_is_replaced_and_the_others_stay(start: Start) -> None:
    fleet = start()
    clients = open_in_each(fleet)
    victim, other = clients
    fleet.signal(signal.SIGKILL, victim)
    with pytest.raises((ConnectionResetError, EOFError)):
        read_frame(clients[victim])
    clients[victim].close()
    fleet.wait_for_others(set(clients))
    assert who(clients[other]) == other
    assert fleet.get("/page/").status == 200
    clients[other].close()


def test_workers_end_when_the_arbiter_is_killed(start: Start) -> None:
    fleet = start()
    clients = open_in_each(fleet)
    fleet.process.kill()
    for client in clients.values():
        assert end(client) == 1012
    fleet.process.wait()
    eventually(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in clients), what="workers stay"
    )


# -- reloading --------------------------------------------------------------------------

_CODE = """
import os
from support.draining_site import application as inner

def application(environ, start_response):
    if environ["PATH_INFO"] == "/version/":
        start_response("200 OK", [("Content-Length", "1")])
        return [b"{version}"]
    return inner(environ, start_response)
"""


@pytest.mark.parametrize("runner", RUNNERS)
def test_hup_runs_the_changed_code(start: Start, diary: Diary, tmp_path: Path, runner: str) -> None:
    (tmp_path / "code_of_site.py").write_text(_CODE.format(version=1))
    fleet = start(runner=runner, application="code_of_site")
    clients = open_in_each(fleet, "/events/")
    assert fleet.get("/version/").body == b"1"
    (tmp_path / "code_of_site.py").write_text(_CODE.format(version=2))
    fleet.signal(signal.SIGHUP)
    assert [end(client) for client in clients.values()] == [1012, 1012]
    eventually(lambda: not fleet.workers() & set(clients), what="old workers stay")
    assert {fleet.get("/version/").body for _ in range(6)} == {b"2"}
    assert [told for told in diary.told("closed") if told[1] != 1000] == [["x", 1012, True]] * 2
    for client in open_in_each(fleet).values():
        client.close()
    assert "Traceback" not in fleet.text()


@pytest.mark.parametrize("mistake", ["def application(:\n", "1 / 0\n"])
def test_hup_with_code_that_cannot_start_changes_nothing(
    start: Start, tmp_path: Path, mistake: str
) -> None:
    (tmp_path / "code_of_site.py").write_text(_CODE.format(version=1))
    fleet = start(application="code_of_site")
    clients = open_in_each(fleet)
    (tmp_path / "code_of_site.py").write_text(mistake)
    fleet.signal(signal.SIGHUP)
    assert fleet.stderr.wait_for(r"Not reloaded, the old workers stay: .*(\n.*)*Error")
    for pid, client in clients.items():
        assert who(client) == pid
    (tmp_path / "code_of_site.py").write_text(_CODE.format(version=2))
    fleet.signal(signal.SIGHUP)
    assert [end(client) for client in clients.values()] == [1012, 1012]
    assert fleet.get("/version/").body == b"2"


def test_ttin_and_ttou(start: Start) -> None:
    fleet = start(workers=1)
    (first,) = fleet.workers()
    with open_socket(fleet, "/blocking/") as client:  # type: ignore[arg-type]
        fleet.signal(signal.SIGTTIN)
        others = fleet.wait_for_others({first})
        assert who(client) == first
        fleet.signal(signal.SIGTTOU)
        assert end(client) == 1012
    assert fleet.wait_for_workers(1) == others


def test_usr2_starts_a_new_arbiter_on_the_same_sockets(start: Start, tmp_path: Path) -> None:
    fleet = start(config="pidfile = 'arbiter.pid'\n")
    clients = open_in_each(fleet)
    pidfile = tmp_path / "arbiter.pid"
    assert int(pidfile.read_text()) == fleet.pid
    fleet.signal(signal.SIGUSR2)
    second = tmp_path / "arbiter.pid.2"
    eventually(second.exists, what="no second arbiter")
    successor = int(second.read_text())
    eventually(lambda: len(fleet.workers(successor)) == 2, what="it has no workers")
    try:
        for pid, client in clients.items():
            assert who(client) == pid
        fleet.signal(signal.SIGTERM)
        assert [end(client) for client in clients.values()] == [1012, 1012]
        assert fleet.wait() == 0
        eventually(lambda: pidfile.exists() and int(pidfile.read_text()) == successor, what="pid")
        with open_socket(fleet, "/blocking/") as client:  # type: ignore[arg-type]
            assert who(client) in fleet.workers(successor)
            os.kill(successor, signal.SIGTERM)
            assert end(client) == 1012
        eventually(lambda: not pidfile.exists(), what="the pidfile stays")
    finally:
        for pid in (successor, *fleet.workers(successor)):
            if Path(f"/proc/{pid}").exists():
                os.kill(pid, signal.SIGKILL)


# -- listening --------------------------------------------------------------------------


@pytest.mark.needs("openssl")
def test_tls_and_new_certificates_by_hup(start: Start, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("old", "/CN=old", "IP:127.0.0.1")
    context = ssl.create_default_context(cafile=authority.certificate)
    fleet = start(options=("--certfile", str(certificate), "--keyfile", str(key)))

    def connect_securely() -> ClientConnection:
        return connect(f"wss://{fleet.netloc}/events/", ssl=context)

    def name_of(client: ClientConnection) -> str:
        assert isinstance(client.socket, ssl.SSLSocket)
        subject: Any = client.socket.getpeercert()
        return str(subject["subject"][0][0][1])

    with connect_securely() as client:
        client.send("hello")
        assert client.recv() == "hello"
        assert name_of(client) == "old"
        new, new_key = authority.issue("new", "/CN=new", "IP:127.0.0.1")
        new.replace(certificate)
        new_key.replace(key)
        old = fleet.workers()
        fleet.signal(signal.SIGHUP)
        assert client.recv() == "draining"
        with pytest.raises(ConnectionClosed) as closed:
            client.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
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


# -- sharing -----------------------------------------------------------------------------


@pytest.mark.parametrize("at_a_time", [1, 100])
def test_connections_are_spread_evenly(start: Start, at_a_time: int) -> None:
    fleet = start(workers=4, options=("--drain-window", "2"))

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


# -- gunicorn's settings ----------------------------------------------------------------


_BROKEN = """
def application(environ, start_response):
    raise RuntimeError(environ["PATH_INFO"])
"""


@pytest.mark.parametrize("runner", RUNNERS)
def test_usr1_reopens_the_log(start: Start, tmp_path: Path, runner: str) -> None:
    (tmp_path / "broken_site.py").write_text(_BROKEN)
    log, moved = tmp_path / "error.log", tmp_path / "error.log.1"
    fleet = start(
        runner=runner, application="broken_site", config="errorlog = 'error.log'\n", log=log
    )
    assert fleet.get("/before/").status == 500
    eventually(lambda: "RuntimeError: /before/" in log.read_text(), what="it is not logged")
    log.rename(moved)
    fleet.signal(signal.SIGUSR1)
    eventually(log.exists, what="no new log")
    written = moved.stat().st_size

    def logs() -> bool:
        fleet.get("/after/")
        return log.read_text().count("RuntimeError: /after/") > 5

    eventually(logs, what="the workers do not write to it")
    eventually(lambda: "Handling signal: usr1" in moved.read_text(), what="wrong log")
    assert moved.stat().st_size < written + 2000


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_access_log_is_gunicorns(start: Start, tmp_path: Path, runner: str) -> None:
    log = tmp_path / "access.log"
    fleet = start(runner=runner, config="accesslog = 'access.log'\n")
    with open_socket(fleet, "/blocking/") as client:  # type: ignore[arg-type]
        pid = who(client)
    assert fleet.get("/page/?logged").status == 200
    eventually(lambda: '"GET /page/?logged HTTP/1.1" 200' in log.read_text(), what="no line")
    eventually(lambda: log.read_text().count('"GET /blocking/ HTTP/1.1" 101') == 2, what="not two")
    assert pid in fleet.workers()


def test_figures_of_all_workers_are_added_up(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    fleet = start(options=("--metrics-bind", f"127.0.0.1:{port}"))
    clients = open_in_each(fleet)

    def added_up() -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return "dualws_workers 2.0" in lines and "dualws_connections 2.0" in lines

    eventually(added_up, what="the figures are not those of both")
    for client in clients.values():
        client.close()


def test_max_requests_counts_handshakes_and_replaces_the_worker(
    start: Start, diary: Diary, tmp_path: Path
) -> None:
    fleet = start(
        workers=1,
        config="max_requests = 6\nmax_requests_jitter = 0\n",
        options=("--close-timeout", "30"),
    )
    (first,) = fleet.workers()
    clients = [open_socket(fleet, "/events/?key=m") for _ in range(4)]  # type: ignore[arg-type]
    for client in clients:
        assert who(client) == first
    busy = open_socket(fleet, "/slow/")  # type: ignore[arg-type]
    busy.send(build(TEXT, b"go"))
    diary.wait_for("asked")
    assert int(fleet.get("/page/").body) == first
    # The successor serves while the first one is still busy.
    (second,) = fleet.wait_for_others({first})
    assert int(fleet.get("/page/").body) == second
    assert [end(client) for client in clients] == [1012] * 4
    assert fleet.workers() == {first, second}
    (tmp_path / "go").touch()
    assert end(busy) == 1012
    assert fleet.wait_for_workers(1) == {second}
    assert diary.told("closed") == [["m", 1012, True]] * 4


def test_a_worker_whose_loop_is_blocked_is_replaced(
    start: Start, diary: Diary, backend: str
) -> None:
    fleet = start(config="timeout = 2\n")
    clients = open_in_each(fleet)
    with fleet.connect() as client:
        if backend == "gevent":
            client.send_request("GET", "/hang/", ("Host", fleet.netloc))
        else:
            handshake(client, "/hang-async/", fleet.netloc)
        diary.wait_for("hangs")
        (victim,) = {entry[0] for entry in diary.entries() if entry[1] == "hangs"}
        fleet.wait_for_others(set(clients))
        (other,) = set(clients) - {victim}
        assert who(clients[other]) == other
    assert fleet.stderr.wait_for("The loop was blocked")
    assert fleet.stderr.wait_for(r"draining.py.*in hang")
    for opened in clients.values():
        opened.close()


def test_an_idle_server_is_not_taken_for_a_blocked_one(start: Start) -> None:
    fleet = start(config="timeout = 1\n")
    clients = open_in_each(fleet)
    begin = time.monotonic()
    while time.monotonic() - begin < 3:
        assert fleet.workers() == set(clients)
        time.sleep(0.2)
    for pid, client in clients.items():
        assert who(client) == pid
        client.close()


@pytest.mark.parametrize("runner", RUNNERS)
def test_preload(start: Start, diary: Diary, runner: str) -> None:
    fleet = start(runner=runner, config="preload_app = True\n")
    clients = open_in_each(fleet, "/events/")
    victim = min(clients)
    fleet.signal(signal.SIGKILL, victim)
    clients.pop(victim).close()
    fleet.wait_for_others({victim, *clients})
    for client in open_in_each(fleet, "/async/").values():
        client.close()
    fleet.signal(signal.SIGHUP)
    assert [end(client) for client in clients.values()] == [1012]
    eventually(lambda: not fleet.workers() & set(clients), what="old workers stay")
    assert fleet.get("/page/").status == 200
    fleet.signal(signal.SIGTERM)
    assert fleet.wait() == 0


def test_hooks_of_the_configuration_file(start: Start) -> None:
    hooks = "".join(
        f"def {name}(who): __import__('os').write(1, b'hook {name}\\n')\n"
        for name in ("on_starting", "when_ready", "on_exit", "worker_int")
    )
    fleet = start(config=hooks)
    clients = open_in_each(fleet)
    fleet.signal(signal.SIGINT)
    assert [end(client) for client in clients.values()] == [1001, 1001]
    assert fleet.wait() == 0
    fleet.stdout.wait_for_end()
    found = set(re.findall(r"hook (\w+)", fleet.stdout.text()))
    assert found == {"on_starting", "when_ready", "on_exit", "worker_int"}


def test_workers_of_the_settings(start: Start, tmp_path: Path, backend: str) -> None:
    settings = SETTINGS[:-1] + ', "DUALWS_WORKERS": 3, "DUALWS_BIND": ["127.0.0.1:0"]}'
    from support.server import LiveServer

    server = LiveServer(
        "support.draining_site",
        backend=backend,
        folder=tmp_path,
        env={"DUALWS_TEST_SETTINGS": settings},
    )
    try:
        assert ", 3 workers)" in server.stdout.text()
        assert server.get("/page/").status == 200
    finally:
        server.stop()


# -- systemd ----------------------------------------------------------------------------

#: As systemd does: the socket is descriptor 3, and LISTEN_PID is the process itself.
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
