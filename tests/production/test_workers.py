"""Several processes: gunicorn's signals and settings, with live websockets."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import time
import urllib.request
from pathlib import Path

import pytest

from support.crowd import open_socket
from support.diary import Diary
from support.fleets import RUNNERS, SETTINGS, Start, end, open_in_each, who
from support.fleets import diary as diary
from support.fleets import start as start
from support.frames import TEXT, build, handshake, read_frame
from support.proxies import free_ports
from support.server import LiveServer
from support.timing import SCALE, TIMEOUT, eventually

#: A second; gunicorn's timeouts are whole ones.
SECOND = math.ceil(SCALE)

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
    fleet = start(options=("--drain-window", str(4 * TIMEOUT)))
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


# -- topics -------------------------------------------------------------------------------

_TOPICS = """
from django.urls import path
from dualws import publish, websocket

@websocket
def room(request, ws):
    ws.subscribe("room")
    for message in ws:
        publish("room", message)

urlpatterns = [path("room/", room)]
"""


@pytest.mark.parametrize(("runner", "workers"), [("dualws", 2), ("gunicorn", 2), ("dualws", 1)])
def test_a_project_with_topics_is_told_what_reaches_whom(
    start: Start, tmp_path: Path, runner: str, workers: int
) -> None:
    (tmp_path / "topics.py").write_text(_TOPICS)
    settings = json.dumps({**json.loads(SETTINGS), "ROOT_URLCONF": "topics"})
    fleet = start(runner=runner, workers=workers, env={"DUALWS_TEST_SETTINGS": settings})
    with open_socket(fleet, "/room/"):
        pass
    said = "publish(), used in topics, reaches the websockets of one worker only (dualws.W006)"
    # The one that says it may not be the one that has answered.
    assert workers == 1 or fleet.stderr.wait_for(re.escape(said))
    fleet.signal(signal.SIGTERM)
    assert fleet.wait() == 0
    assert fleet.text().count(said) == workers - 1
    if workers > 1:
        assert f"There are 2 workers: {said}" in fleet.text()


# -- reloading --------------------------------------------------------------------------

_CODE = """
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


@pytest.mark.parametrize("runner", RUNNERS)
def test_ttin_and_ttou(start: Start, runner: str) -> None:
    fleet = start(workers=1, runner=runner)
    (first,) = fleet.workers()
    with open_socket(fleet, "/blocking/") as client:
        fleet.signal(signal.SIGTTIN)
        others = fleet.wait_for_others({first})
        assert who(client) == first
        fleet.signal(signal.SIGTTOU)
        assert end(client) == 1012
    assert fleet.wait_for_workers(1) == others


@pytest.mark.parametrize("runner", RUNNERS)
def test_usr2_starts_a_new_arbiter_on_the_same_sockets(
    start: Start, tmp_path: Path, runner: str
) -> None:
    fleet = start(config="pidfile = 'arbiter.pid'\n", runner=runner)
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
        with open_socket(fleet, "/blocking/") as client:
            assert who(client) in fleet.workers(successor)
            os.kill(successor, signal.SIGTERM)
            assert end(client) == 1012
        eventually(lambda: not pidfile.exists(), what="the pidfile stays")
    finally:
        for pid in (successor, *fleet.workers(successor)):
            if Path(f"/proc/{pid}").exists():
                os.kill(pid, signal.SIGKILL)


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

    def moved_on() -> bool:
        """Whether the old log is left alone, and the new one is not."""
        written = moved.stat().st_size
        for _ in range(10):
            fleet.get("/after/")
        return moved.stat().st_size == written and "RuntimeError: /after/" in log.read_text()

    eventually(moved_on, what="the workers do not write to it")
    eventually(lambda: "Handling signal: usr1" in moved.read_text(), what="wrong log")


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_access_log_is_gunicorns(start: Start, tmp_path: Path, runner: str) -> None:
    log = tmp_path / "access.log"
    fleet = start(runner=runner, config="accesslog = 'access.log'\n")
    with open_socket(fleet, "/blocking/") as client:
        pid = who(client)
    assert fleet.get("/page/?logged").status == 200
    eventually(lambda: '"GET /page/?logged HTTP/1.1" 200' in log.read_text(), what="no line")
    eventually(lambda: log.read_text().count('"GET /blocking/ HTTP/1.1" 101') == 2, what="not two")
    assert pid in fleet.workers()


def test_figures_of_all_workers_are_added_up(start: Start) -> None:
    (port,) = free_ports(1)
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
        options=("--close-timeout", str(2 * TIMEOUT)),
    )
    (first,) = fleet.workers()
    clients = [open_socket(fleet, "/events/?key=m") for _ in range(4)]
    for client in clients:
        assert who(client) == first
    busy = open_socket(fleet, "/slow/")
    busy.send(build(TEXT, b"go"))
    diary.wait_for("asked")
    assert int(fleet.get("/page/").body) == first
    # The successor serves while the first one is still busy.
    (second,) = fleet.wait_for_others({first})
    eventually(lambda: int(fleet.get("/page/").body) == second, what="the successor does not serve")
    assert [end(client) for client in clients] == [1012] * 4
    assert fleet.workers() == {first, second}
    (tmp_path / "go").touch()
    assert end(busy) == 1012
    assert fleet.wait_for_workers(1) == {second}
    assert diary.told("closed") == [["m", 1012, True]] * 4


@pytest.mark.parametrize("runner", RUNNERS)
def test_max_requests_has_its_jitter(start: Start, runner: str) -> None:
    config = "max_requests = 1\nmax_requests_jitter = 1_000_000_000\n"
    fleet = start(workers=1, config=config, runner=runner)
    (first,) = fleet.workers()
    # Without the jitter the first one would be the last.
    assert {int(fleet.get("/page/").body) for _ in range(5)} == {first}
    assert fleet.workers() == {first}


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_worker_whose_loop_is_blocked_is_replaced(
    start: Start, diary: Diary, backend: str, runner: str
) -> None:
    fleet = start(config=f"timeout = {2 * SECOND}\n", runner=runner)
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
    fleet = start(config=f"timeout = {SECOND}\n")
    clients = open_in_each(fleet)
    begin = time.monotonic()
    while time.monotonic() - begin < 3 * SECOND:
        assert fleet.workers() == set(clients)
        time.sleep(SECOND / 5)
    for pid, client in clients.items():
        assert who(client) == pid
        client.close()


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("preload", [False, True])
def test_the_collector_leaves_alone_what_workers_have_imported(
    start: Start, tmp_path: Path, runner: str, preload: bool
) -> None:
    fleet = start(
        runner=runner,
        config=f"preload_app = {preload}\n"
        "def worker_exit(server, worker):\n"
        "    import gc, pathlib\n"
        f"    file = pathlib.Path({str(tmp_path)!r}, f'frozen-{{worker.pid}}')\n"
        "    file.write_text(str(gc.get_freeze_count()))\n",
    )
    for client in open_in_each(fleet).values():
        client.close()
    fleet.signal(signal.SIGTERM)
    assert fleet.wait() == 0
    frozen = [int(file.read_text()) for file in tmp_path.glob("frozen-*")]
    assert len(frozen) == 2
    assert min(frozen) > 10_000


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
    # The arbiter still hears of a worker's end.
    others = fleet.wait_for_workers(2)
    fleet.signal(signal.SIGKILL, min(others))
    eventually(lambda: min(others) not in fleet.workers(), what="it lives")
    fleet.wait_for_others(others)
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
