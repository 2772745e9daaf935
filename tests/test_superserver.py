"""``manage.py superserver``: runserver's ways, a reload that survives errors, a clean end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from support.distributions import install_third
from support.program import Program
from support.timing import TIMEOUT, eventually

_SETTINGS = """
from pathlib import Path
SECRET_KEY = "x"
DEBUG = True
ROOT_URLCONF = "mysite.urls"
WSGI_APPLICATION = "mysite.wsgi.application"
INSTALLED_APPS = ["dualws", "mysite", "django.contrib.contenttypes", "django.contrib.staticfiles"]
DATABASES = {{
    "default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": Path(__file__).parent / "db"}}
}}
STATIC_URL = "static/"
DUALWS_BACKEND = {backend!r}
"""

_MANAGE = """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""

_VIEWS = """
from django.http import HttpResponse
from dualws import websocket
def name(request):
    return HttpResponse(request.META["wsgi.server"].backend.name)
@websocket
def echo(request, ws):
    for message in ws:
        ws.send(message)
"""

_URLS = """
from django.urls import path
from mysite import views
urlpatterns = [path("", views.name), path("ws/", views.echo)]
"""

_WSGI = """
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
"""


class Superserver(Program):
    """A superserver on a free port of 127.0.0.1, that has announced itself.

    :param site: folder of manage.py
    :param options: more words for its command line
    :param address: where it listens
    :param env: more environment variables
    """

    def __init__(
        self,
        site: Path,
        *options: str,
        address: str = "127.0.0.1:0",
        env: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(site, ["manage.py", "superserver", address, *options], env)
        self._seen = 0

    def started(self) -> str:
        """Wait until a child has announced itself that has not been waited for; its address."""
        found = self.stdout.wait_for(
            # Django 6 says which kind of server it is.
            r"Starting (?:WSGI )?development server at (http://\S+:\d+)/\n(?:.*\n)*?Backend: ",
            start=self._seen,
        )
        assert found is not None, self.text()
        self._seen = self.stdout.position
        return found[1]

    def child(self) -> int:
        """Process id of its child."""
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=False,
        )
        return int(listed.stdout)


@pytest.fixture
def site(tmp_path: Path, backend: str) -> Path:
    """A folder with a Django project whose settings name the backend under test."""
    package = tmp_path / "mysite"
    (package / "static").mkdir(parents=True)
    (package / "static" / "style.css").write_text("body { color: red }\n")
    (package / "__init__.py").write_text("")
    (package / "models.py").write_text("")
    (package / "settings.py").write_text(_SETTINGS.format(backend=backend))
    (package / "views.py").write_text(_VIEWS)
    (package / "urls.py").write_text(_URLS)
    (package / "wsgi.py").write_text(_WSGI)
    (tmp_path / "manage.py").write_text(_MANAGE)
    return tmp_path


@pytest.fixture
def server(site: Path) -> Iterator[Superserver]:
    """A superserver of that project, with reloading."""
    with Superserver(site) as program:
        yield program


def read(url: str) -> str:
    """Body of a GET."""
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
        body: bytes = answer.read()
    return body.decode()


def gone(pid: int) -> bool:
    """Whether no such process lives (one that waits to be reaped lives no more)."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return state.stdout.strip()[:1] in ("", "Z")


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
            _VIEWS.replace('request.META["wsgi.server"].backend.name', '"changed"')
        )
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=TIMEOUT)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code in (1001, 1012)
    assert read(server.started()) == "changed"
    assert "Traceback" not in server.text()


def test_an_error_in_a_file_does_not_end_it(server: Superserver, site: Path, backend: str) -> None:
    server.started()
    for name, mistake, error in (
        ("settings", "def (\n", "SyntaxError"),
        ("models", "1 / 0\n", "ZeroDivisionError"),
        ("urls", "def (\n", "SyntaxError"),
        ("views", "1 / 0\n", "ZeroDivisionError"),
    ):
        file = site / "mysite" / f"{name}.py"
        right = file.read_text()
        start = server.stderr.position
        file.write_text(right + mistake)
        assert server.stderr.wait_for(rf"(?m)^{error}", start=start), server.text()
        file.write_text(right)
        assert read(server.started()) == backend
    assert server.interrupt() == 0


def test_an_error_in_manage_py_does_not_end_it(
    server: Superserver, site: Path, backend: str
) -> None:
    server.started()
    (site / "manage.py").write_text(_MANAGE + "def (\n")
    (site / "mysite" / "views.py").write_text(_VIEWS + "\n")
    assert server.stderr.wait_for(r"(?m)^SyntaxError"), server.text()
    (site / "manage.py").write_text(_MANAGE)
    assert read(server.started()) == backend


def test_a_failed_check_does_not_end_it(server: Superserver, site: Path, backend: str) -> None:
    server.started()
    settings = site / "mysite" / "settings.py"
    right = settings.read_text()
    settings.write_text(right + "DUALWS_THREADS = 'many'\n")
    assert server.stderr.wait_for(r"dualws\.E002"), server.text()
    settings.write_text(right)
    assert read(server.started()) == backend


def test_a_signal_ends_it_while_it_waits_for_a_repair(server: Superserver, site: Path) -> None:
    server.started()
    (site / "mysite" / "settings.py").write_text("def (\n")
    assert server.stderr.wait_for(r"(?m)^SyntaxError"), server.text()
    child = server.child()
    assert server.interrupt() == 0
    assert gone(child)


def test_it_follows_the_backend_of_the_settings(site: Path, tmp_path: Path, backend: str) -> None:
    packages = tmp_path / "packages"
    install_third(packages)
    settings = site / "mysite" / "settings.py"
    right = settings.read_text()
    with Superserver(site, env={"PYTHONPATH": str(packages)}) as server:
        assert read(server.started()) == backend
        settings.write_text(right + "DUALWS_BACKEND = 'absent'\n")
        assert server.stderr.wait_for(r"There is no backend 'absent'"), server.text()
        settings.write_text(right + "DUALWS_BACKEND = 'third' # found\n")
        assert read(server.started()) == "third"
        settings.write_text(right)
        assert read(server.started()) == backend


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
