"""``manage.py superserver``: runserver's ways, a reload, a clean end."""

from __future__ import annotations

import os
import signal
import socket
import urllib.error
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from support.program import Program
from support.superserver import VIEWS, Superserver, gone, read
from support.superserver import server as server
from support.superserver import site as site
from support.timing import TIMEOUT, eventually


def test_it_looks_and_serves_like_runserver(server: Superserver, backend: str) -> None:
    url = server.started()
    assert read(url) == backend
    assert read(f"{url}/static/style.css") == "body { color: red }\n"
    with connect(url.replace("http", "ws") + "/ws/") as client:
        client.send("hello")
        assert client.recv() == "hello"
    for line in (
        "Performing system checks...",
        "System check identified no issues (0 silenced).",
        "unapplied migration(s)",
        "using settings 'mysite.settings'",
        "Quit the server with CONTROL-C.",
        "In production: dualws serve mysite.wsgi",
    ):
        assert line in server.stdout.text()
    moment = r"\[\d\d/\w{3}/\d{4} \d\d:\d\d:\d\d\]"
    assert server.stderr.wait_for(rf'{moment} "GET / HTTP/1.1" 200 {len(backend)}')
    assert server.stderr.wait_for(rf'{moment} "GET /static/style.css HTTP/1.1" 200 20')
    assert server.stop() == 0
    assert server.text().count('"GET / HTTP/1.1"') == 1


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGINT", "SIGTERM"])
def test_it_ends_at_once_with_a_websocket_open(server: Superserver, how: str) -> None:
    url = server.started()
    child = server.child()
    with connect(url.replace("http", "ws") + "/ws/") as client:
        client.send("hello")
        assert client.recv() == "hello"
        code = server.interrupt() if how == "Ctrl-C" else server.stop(getattr(signal, how))
        with pytest.raises(ConnectionClosed):
            client.recv()
    assert code == 0
    assert gone(child)
    assert "Traceback" not in server.text()


def test_changed_code_is_served_and_websockets_are_told(server: Superserver, site: Path) -> None:
    url = server.started()
    with connect(url.replace("http", "ws") + "/ws/") as client:
        client.send("hello")
        assert client.recv() == "hello"
        (site / "mysite" / "views.py").write_text(
            VIEWS.replace('request.META["wsgi.server"].backend.name', '"changed"')
        )
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=TIMEOUT)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
    assert read(server.started()) == "changed"
    assert "Traceback" not in server.text()


def test_without_reloading(site: Path, backend: str) -> None:
    with Superserver(site, "--noreload") as server:
        url = server.started()
        assert read(url) == backend
        with connect(url.replace("http", "ws") + "/ws/") as client:
            client.send("hello")
            assert client.recv() == "hello"
            assert server.interrupt() == 0
        assert "Traceback" not in server.text()


def test_static_files_only_when_wanted(site: Path) -> None:
    with Superserver(site, "--nostatic", "--skip-checks", "--noreload") as server:
        url = server.started()
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            read(f"{url}/static/style.css")
        refused.value.close()
        assert "system checks" not in server.stdout.text()
    settings = site / "mysite" / "settings.py"
    settings.write_text(settings.read_text() + "DEBUG = False\nALLOWED_HOSTS = ['127.0.0.1']\n")
    with Superserver(site, "--insecure", "--noreload") as server:
        assert "color" in read(f"{server.started()}/static/style.css")


@pytest.mark.parametrize("words", [("[::1]:0",), ("0", "-6")])
def test_ipv6(site: Path, backend: str, words: tuple[str, ...]) -> None:
    with Superserver(site, *words[1:], "--noreload", address=words[0]) as server:
        url = server.started()
        assert url.startswith("http://[::1]:")
        assert read(url) == backend


@pytest.mark.parametrize("reload", [True, False])
def test_a_port_in_use_ends_it_with_a_message(site: Path, reload: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        options = () if reload else ("--noreload",)
        with Superserver(site, *options, address=address) as server:
            assert server.wait() == 1
            assert f"Error: Cannot listen on {address}: port" in server.stderr.text()
            assert "Traceback" not in server.text()


@pytest.mark.parametrize(
    ("address", "message"),
    [("nonsense", "is not a valid port number"), ("localhost:", "is not a valid port number")],
)
def test_a_bad_address(site: Path, address: str, message: str) -> None:
    with Superserver(site, address=address) as server:
        assert server.wait() == 1
        assert message in server.stderr.text()


def test_an_unknown_backend(site: Path) -> None:
    with Superserver(site, "--backend", "nothing") as server:
        assert server.wait() != 0
        assert "no backend 'nothing'" in server.stderr.text()
        assert "Traceback" not in server.text()


def test_the_child_does_not_outlive_its_parent(server: Superserver) -> None:
    server.started()
    child = server.child()
    os.kill(server.process.pid, signal.SIGKILL)
    eventually(lambda: gone(child), what="the child lives on without its parent")


def test_settings_that_manage_py_configures(tmp_path: Path, backend: str) -> None:
    (tmp_path / "manage.py").write_text(
        "import sys\n"
        "from django.conf import settings\n"
        "from django.core.management import execute_from_command_line\n"
        "from django.http import HttpResponse\n"
        "from django.urls import path\n"
        "settings.configure(DEBUG=True, ROOT_URLCONF=__name__, SECRET_KEY='x',\n"
        f"    INSTALLED_APPS=['dualws'], DUALWS_BACKEND={backend!r})\n"
        "urlpatterns = [path('', lambda r: HttpResponse(r.META['wsgi.server'].backend.name))]\n"
        "execute_from_command_line(sys.argv)\n"
    )
    with Superserver(tmp_path) as server:
        assert read(server.started()) == backend


def test_run_as_a_module(site: Path, backend: str) -> None:
    words = ["-m", "django", "superserver", "127.0.0.1:0", "--settings", "mysite.settings"]
    with Program(site, words, env={"PYTHONPATH": str(site)}) as program:
        assert read(program.url()) == backend
        assert program.interrupt() == 0
