"""Workers that cannot start: the first ones end the arbiter, later ones nothing that runs."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.certificates import Authority
from support.fleets import RUNNERS, SETTINGS, Fleet, Start, end, open_in_each, open_securely, who
from support.fleets import start as start
from support.frames import read_frame
from support.proxies import free_ports
from support.server import server_environment
from support.timing import TIMEOUT, eventually

_NO_LIBRARY = "raise ModuleNotFoundError('not installed', name='prometheus_client')\n"


def settings(**more: object) -> str:
    return json.dumps({**json.loads(SETTINGS), **more})


@pytest.fixture
def taken() -> Iterator[str]:
    """An address that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield f"127.0.0.1:{other.getsockname()[1]}"


def first_start(folder: Path, backend: str, runner: str, **more: object) -> str:
    """What a server says that comes to its end instead of serving."""
    words = [sys.executable, "-m"]
    if runner == "dualws":
        words += ["dualws.serving.cli", "serve", "--workers", "2"]
    else:
        words += ["gunicorn", "-k", "dualws.serving.gunicorn.Worker", "-w", "2"]
        words += ["--no-control-socket"]
    environ = {"DUALWS_BACKEND": backend, "DUALWS_TEST_SETTINGS": settings(**more)}
    done = subprocess.run(
        [*words, "support.draining_site", "--bind", "127.0.0.1:0"],
        cwd=folder,
        env=server_environment(folder, environ),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode
    # gunicorn's own arbiter stumbles over the second worker that cannot start.
    assert runner == "gunicorn" or "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_first_start_without_its_certificate(backend: str, runner: str, tmp_path: Path) -> None:
    said = first_start(tmp_path, backend, runner, DUALWS_CERTFILE="absent.pem")
    assert "absent.pem" in said


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_first_start_without_its_urlconf(backend: str, runner: str, tmp_path: Path) -> None:
    said = first_start(tmp_path, backend, runner, ROOT_URLCONF="absent")
    assert "The URLconf 'absent' cannot be used" in said


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_first_start_whose_port_of_figures_is_taken(
    backend: str, runner: str, tmp_path: Path, taken: str
) -> None:
    said = first_start(tmp_path, backend, runner, DUALWS_METRICS_BIND=[taken])
    assert f"Cannot listen on {taken}" in said


def test_a_first_start_without_the_library_of_figures(backend: str, tmp_path: Path) -> None:
    (tmp_path / "prometheus_client.py").write_text(_NO_LIBRARY)
    said = first_start(tmp_path, backend, "dualws", DUALWS_METRICS_BIND=["127.0.0.1:0"])
    assert 'pip install "dualws[metrics]"' in said


def not_reloaded(start: Start, tmp_path: Path, file: Path, mistake: str, **more: object) -> str:
    """Why a fleet does not reload once *file* has a mistake; it does when that is taken back.

    :param more: settings
    """
    fleet = start(env={"DUALWS_TEST_SETTINGS": settings(**more)})
    clients = open_in_each(fleet)
    right = file.read_text() if file.exists() else None
    file.write_text(mistake)
    fleet.signal(signal.SIGHUP)
    found = fleet.stderr.wait_for(r"Not reloaded, the old workers stay: (.*\n)*?(.*Error.*|.+)\n")
    assert found is not None
    for pid, client in clients.items():
        assert who(client) == pid
    if right is None:
        file.unlink()
    else:
        file.write_text(right)
    fleet.signal(signal.SIGHUP)
    assert [end(client) for client in clients.values()] == [1012, 1012]
    eventually(lambda: not fleet.workers() & set(clients), what="old workers stay")
    for client in open_in_each(fleet).values():
        client.close()
    return fleet.text()


def test_hup_with_a_mistake_in_the_configuration_file(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "gunicorn.conf.py"
    said = not_reloaded(start, tmp_path, file, "timeout = 'none'\n")
    assert "timeout" in said


def test_hup_with_a_broken_urlconf(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "urls_of_site.py"
    file.write_text("from support.project.draining import urlpatterns\n")
    said = not_reloaded(start, tmp_path, file, "LIMIT = 1 / 0\n", ROOT_URLCONF="urls_of_site")
    assert "LIMIT = 1 / 0" in said


@pytest.mark.needs("openssl")
def test_hup_with_a_broken_certificate(start: Start, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("a", "/CN=a", "IP:127.0.0.1")
    context = ssl.create_default_context(cafile=authority.certificate)
    fleet = start(options=("--certfile", str(certificate), "--keyfile", str(key)))
    workers = fleet.workers()

    def served_by() -> int:
        with open_securely(fleet, "/blocking/", context) as client:
            return who(client)

    serving: set[int] = set()
    eventually(lambda: serving.add(served_by()) or serving == workers, what="not all serve")
    certificate.write_text("nothing\n")
    fleet.signal(signal.SIGHUP)
    assert fleet.stderr.wait_for("Not reloaded, the old workers stay: .*a.pem")
    assert fleet.workers() == workers
    assert served_by() in workers


def test_hup_without_the_library_of_figures(start: Start, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    said = not_reloaded(
        start,
        tmp_path,
        tmp_path / "prometheus_client.py",
        _NO_LIBRARY,
        DUALWS_METRICS_BIND=[f"127.0.0.1:{port}"],
    )
    assert 'pip install "dualws[metrics]"' in said


_CODE = """
import json, os, sys, threading
{first}
from support.draining_site import application
"""
_URLCONF = """
values = json.loads(os.environ["DUALWS_TEST_SETTINGS"])
os.environ["DUALWS_TEST_SETTINGS"] = json.dumps({**values, "ROOT_URLCONF": "urls_that_leave"})
"""
_HOOK = """
from pathlib import Path

def post_worker_init(worker):
    exec(Path("fail").read_text() if Path("fail").exists() else "")
"""
_LEAVES = """
import sys
from support.draining_site import application as site

def application(environ, start_response):
    if environ["PATH_INFO"] == "/leave/":
        number = int(environ["QUERY_STRING"])
        environ["wsgi.server"].runtime.call_soon(lambda: sys.exit(number))
    return site(environ, start_response)
"""
_THREAD = """
if sys.argv[0] == "-c":
    threading.Thread(target=threading.Event().wait).start()
"""
_FIGURES = """
values = json.loads(os.environ["DUALWS_TEST_SETTINGS"])
os.environ["DUALWS_TEST_SETTINGS"] = json.dumps({{**values, "DUALWS_METRICS_BIND": ["{taken}"]}})
"""


def test_hup_with_a_taken_port_of_figures(start: Start, tmp_path: Path, taken: str) -> None:
    code = tmp_path / "code_of_site.py"
    code.write_text(_CODE.format(first=""))
    fleet = start(application="code_of_site")
    clients = open_in_each(fleet)
    code.write_text(_CODE.format(first=_FIGURES.format(taken=taken)))
    fleet.signal(signal.SIGHUP)
    assert fleet.stderr.wait_for(f"Not reloaded, the old workers stay: Cannot listen on {taken}")
    for pid, client in clients.items():
        assert who(client) == pid
        client.close()


def test_hup_with_threads_of_the_project_that_do_not_end(start: Start, tmp_path: Path) -> None:
    (tmp_path / "code_of_site.py").write_text(_CODE.format(first=_THREAD))
    fleet = start(application="code_of_site")
    clients = open_in_each(fleet)
    fleet.signal(signal.SIGHUP)
    assert [end(client) for client in clients.values()] == [1012, 1012]


def test_a_later_worker_that_cannot_start_is_tried_again(start: Start, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    fleet = start(env={"DUALWS_TEST_SETTINGS": settings(DUALWS_METRICS_BIND=[f"127.0.0.1:{port}"])})
    clients = open_in_each(fleet)
    victim, other = clients
    obstacle = tmp_path / "prometheus_client.py"
    obstacle.write_text(_NO_LIBRARY)
    fleet.signal(signal.SIGKILL, victim)
    assert fleet.stderr.wait_for("This worker cannot start, the next one tries again: .*metrics")
    assert who(clients[other]) == other
    obstacle.unlink()
    eventually(lambda: len(fleet.workers() - set(clients)) == 1, what="no successor")
    with fleet.connect():
        assert fleet.get("/page/").status == 200
    assert "Traceback" not in fleet.text()
    for client in clients.values():
        client.close()


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_later_worker_that_cannot_import_the_project_is_tried_again(
    start: Start, tmp_path: Path, runner: str
) -> None:
    code = tmp_path / "code_of_site.py"
    code.write_text(_CODE.format(first=""))
    fleet = start(application="code_of_site", runner=runner)
    clients = open_in_each(fleet)
    victim, other = clients
    code.write_text("LIMIT = 1 / 0\n")
    fleet.signal(signal.SIGKILL, victim)
    said = "This worker cannot start, the next one tries again: .*\n(.*\n)*.*LIMIT = 1 / 0"
    assert fleet.stderr.wait_for(said)
    assert who(clients[other]) == other
    code.write_text(_CODE.format(first=""))
    fleet.wait_for_others(set(clients))
    assert fleet.get("/page/").status == 200
    assert "Traceback" not in fleet.text()
    for client in clients.values():
        client.close()


def mended(fleet: Fleet, code: Path, old: set[int]) -> None:
    """Once its code is right again the fleet is complete, and serves."""
    code.write_text(_CODE.format(first=""))
    fleet.wait_for_others(old)
    assert fleet.get("/page/").status == 200
    assert fleet.process.poll() is None


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("number", [0, 3, 4])
def test_a_later_worker_whose_project_leaves_is_tried_again(
    start: Start, tmp_path: Path, runner: str, number: int
) -> None:
    """Exit codes 3 and 4 are those by which a worker tells gunicorn to end everything."""
    code = tmp_path / "code_of_site.py"
    code.write_text(_CODE.format(first=""))
    fleet = start(application="code_of_site", runner=runner)
    clients = open_in_each(fleet)
    victim, other = clients
    leaves = f"import sys\nprint('tried', flush=True)\nsys.exit({number})\n"
    code.write_text(leaves)
    fleet.signal(signal.SIGKILL, victim)
    said = rf"This worker cannot start, the next one tries again: .*\n(.*\n)*.*sys.exit\({number}"
    assert fleet.stderr.wait_for(said)
    # And in the URLconf, which is imported later.
    code.write_text(_CODE.format(first=_URLCONF))
    (tmp_path / "urls_that_leave.py").write_text(leaves)
    assert fleet.stderr.wait_for(rf"URLconf 'urls_that_leave'(.*\n)*.*sys.exit\({number}")
    assert who(clients[other]) == other
    mended(fleet, code, set(clients))
    for client in clients.values():
        client.close()


def test_a_hook_that_fails_in_a_later_worker_ends_nobody_else(start: Start, tmp_path: Path) -> None:
    code = tmp_path / "code_of_site.py"
    code.write_text(_CODE.format(first=""))
    fleet = start(application="code_of_site", config=_HOOK)
    clients = open_in_each(fleet)
    victim, other = clients
    (tmp_path / "fail").write_text("1 / 0")
    fleet.signal(signal.SIGKILL, victim)
    assert fleet.stderr.wait_for("This worker cannot start, the next one tries again: .*division")
    (tmp_path / "fail").write_text("raise SystemExit(3)")
    assert fleet.stderr.wait_for("This worker cannot start, the next one tries again: .*exit")
    assert who(clients[other]) == other
    (tmp_path / "fail").write_text("pass")
    mended(fleet, code, set(clients))
    for client in clients.values():
        client.close()


@pytest.mark.parametrize("runner", RUNNERS)
def test_who_leaves_while_a_worker_serves_ends_at_most_that_worker(
    start: Start, tmp_path: Path, runner: str
) -> None:
    """The worker is replaced on gevent, and goes on where a loop runs tasks."""
    (tmp_path / "code_of_site.py").write_text(_LEAVES)
    fleet = start(application="code_of_site", runner=runner, workers=1)
    for number in (3, 4):
        position = fleet.stderr.position
        with contextlib.suppress(EOFError, ConnectionError):
            fleet.get(f"/leave/?{number}")
        said = "exited with code 1|ended with sys.exit.., which ends nothing but the task"
        assert fleet.stderr.wait_for(said, start=position)
        assert fleet.get("/page/").status == 200


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_first_start_of_a_project_that_leaves(tmp_path: Path, backend: str, runner: str) -> None:
    (tmp_path / "urls_that_leave.py").write_text("import sys\nsys.exit(0)\n")
    said = first_start(tmp_path, backend, runner, ROOT_URLCONF="urls_that_leave")
    assert "sys.exit(0)" in said


def test_hup_of_plain_gunicorn_with_broken_code(start: Start, tmp_path: Path) -> None:
    """Nobody tries the code first there; but the server comes back when it is mended."""
    code = tmp_path / "code_of_site.py"
    code.write_text(_CODE.format(first=""))
    fleet = start(application="code_of_site", runner="gunicorn")
    clients = open_in_each(fleet)
    code.write_text("LIMIT = 1 / 0\n")
    fleet.signal(signal.SIGHUP)
    assert fleet.stderr.wait_for("This worker cannot start, the next one tries again: .*ZeroDiv")
    code.write_text(_CODE.format(first=""))
    assert [end(client) for client in clients.values()] == [1012, 1012]
    fleet.wait_for_others(set(clients), 2)
    assert fleet.get("/page/").status == 200


def test_workers_that_cannot_start_come_slowly(start: Start, tmp_path: Path) -> None:
    """Else a mistake in the project would cost a core."""
    code = tmp_path / "code_of_site.py"
    code.write_text(_CODE.format(first=""))
    fleet = start(application="code_of_site", workers=1)
    (victim,) = fleet.workers()
    code.write_text("import time\nprint('tried', time.monotonic(), flush=True)\n1 / 0\n")
    fleet.signal(signal.SIGKILL, victim)
    assert fleet.stdout.wait_for("(tried .*\n(.*\n)*){3}")
    lines = [line.split() for line in fleet.stdout.text().splitlines()]
    moments = [float(words[1]) for words in lines if words[:1] == ["tried"]]
    assert min(later - sooner for sooner, later in itertools.pairwise(moments)) >= 1.0


_OWNER = """
import os, sys
from pathlib import Path
from gunicorn import util

def note(uid, gid, initgroups=False):
    if sys.argv[0] == "-c":
        Path("owner").write_text(f"{uid} {gid}")

# So that it needs no privileges.
util.set_owner_process = note
util.chown = lambda *args: None
user, group = "1234", "5678"
"""


def test_hup_tries_as_the_user_of_the_workers(start: Start, tmp_path: Path) -> None:
    """Else the port of figures, which other users' processes may not share, is taken."""
    fleet = start(config=_OWNER)
    clients = open_in_each(fleet)
    fleet.signal(signal.SIGHUP)
    assert [end(client) for client in clients.values()] == [1012, 1012]
    assert (tmp_path / "owner").read_text() == "1234 5678"


def test_the_worker_class_of_the_configuration_file_does_not_count(start: Start) -> None:
    fleet = start(config="worker_class = 'sync'\n")
    for client in open_in_each(fleet).values():
        client.close()


_TERM_IN_TIME = """
import os, signal
from pathlib import Path
from dualws.contract import Server
can_drain = Server.can_drain

def told(server):
    if not Path("told").exists():
        # The worker has seen that it is to go on; the server does not mind signals yet.
        Path("told").write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGTERM)
    return can_drain.fget(server)

Server.can_drain = property(told)
from support.draining_site import application
"""


def replaced(fleet: Fleet, told: Path) -> None:
    """The worker that was told to go, as the file *told* says, has gone; another one serves."""
    eventually(lambda: told.exists() and told.read_text(), what="it was not told")
    first = int(told.read_text())
    eventually(lambda: fleet.workers() and first not in fleet.workers(), what="it stays")
    assert fleet.get("/page/").status == 200


def test_term_just_before_the_server_minds_it(start: Start, tmp_path: Path) -> None:
    (tmp_path / "code_of_site.py").write_text(_TERM_IN_TIME)
    fleet = start(application="code_of_site", workers=1)
    replaced(fleet, tmp_path / "told")


_TERM_WHILE_PREPARING = """
import os, signal
from pathlib import Path
from dualws import bootstrap
prepare = bootstrap.prepare

def told(name):
    if not Path("told").exists():
        Path("told").write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGTERM)
    return prepare(name)

bootstrap.prepare = told
"""


def test_term_while_a_worker_is_prepared(start: Start, tmp_path: Path) -> None:
    fleet = start(config=_TERM_WHILE_PREPARING, workers=1)
    replaced(fleet, tmp_path / "told")


def test_a_worker_that_drains_has_a_successor_at_once(start: Start) -> None:
    fleet = start(options=("--close-timeout", "600"))
    clients = open_in_each(fleet)
    first = min(clients)
    fleet.signal(signal.SIGTERM, first)
    # Its client does not answer, so that it stays.
    assert read_frame(clients[first]).close_code == 1012
    fleet.wait_for_others(set(clients))
    assert len(fleet.workers()) == 3
    for client in clients.values():
        client.close()
