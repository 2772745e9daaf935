"""What keeps a server from starting is said in one message, before anything is announced."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from support.distributions import install
from support.program import Program, python
from support.server import server_environment
from support.timing import TIMEOUT

_WSGI = """
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
"""
_SETTINGS = "SECRET_KEY = 'x'\nALLOWED_HOSTS = ['*']\nROOT_URLCONF = 'urls'\n"
_URLS = """
from django.http import HttpResponse
from django.urls import include, path
urlpatterns = [path("", lambda request: HttpResponse("here")), path("more/", include("more"))]
"""
_MORE = """
from django.urls import include, path
urlpatterns = [path("again/", include("urls"))]
"""
#: Fails as a query at import does, the first time.
_WITHOUT_DATABASE = """
import os
from django.db import OperationalError
if os.environ.setdefault("ASKED", "no") == "no":
    os.environ["ASKED"] = "yes"
    raise OperationalError("no connection")
urlpatterns = []
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a project whose URLconfs include each other."""
    for name, text in (("wsgi", _WSGI), ("settings", _SETTINGS), ("urls", _URLS), ("more", _MORE)):
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


def words(backend: str) -> list[str]:
    command = ["-m", "dualws.serving.cli", "serve", "wsgi", "--backend", backend]
    return [*command, "--bind", "127.0.0.1:0"]


def refused(site: Path, *words: str, **env: str) -> str:
    """The one message of a server that does not start."""
    done = python(site, *words, env=env)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr
    return done.stderr.removeprefix("Error: ")


def served(program: Program) -> bytes:
    with urllib.request.urlopen(program.url()) as answer:
        body: bytes = answer.read()
    return body


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("urls", "LIMIT = 1 / 0\n", "URLconf 'urls' cannot be used: importing it raised ZeroDiv"),
        ("more", "LIMIT = 1 / 0\n", "LIMIT = 1 / 0"),
        ("urls", "urlpatterns = (\n", "SyntaxError: '(' was never closed"),
        ("urls", "", "does not appear to have any patterns in it"),
    ],
)
def test_a_broken_urlconf_is_said_at_once(
    site: Path, backend: str, file: str, text: str, message: str
) -> None:
    (site / f"{file}.py").write_text(text)
    assert message in refused(site, *words(backend))


def test_a_urlconf_that_is_absent(site: Path, backend: str) -> None:
    (site / "urls.py").unlink()
    assert "ModuleNotFoundError: No module named 'urls'" in refused(site, *words(backend))


def test_urlconfs_that_include_each_other(site: Path, backend: str) -> None:
    with Program(site, words(backend)) as program:
        assert served(program) == b"here"
        assert not program.stderr.text()


def test_a_urlconf_of_middleware_is_left_to_the_request(site: Path, backend: str) -> None:
    (site / "urls.py").rename(site / "others.py")
    (site / "more.py").write_text("urlpatterns = []\n")
    (site / "chooser.py").write_text(
        "def chooser(get_response):\n"
        "    def choose(request):\n"
        "        request.urlconf = 'others'\n"
        "        return get_response(request)\n"
        "    return choose\n"
    )
    settings = _SETTINGS.replace("'urls'", "None") + "MIDDLEWARE = ['chooser.chooser']\n"
    (site / "settings.py").write_text(settings)
    with Program(site, words(backend)) as program:
        assert served(program) == b"here"


def test_a_database_that_fails_meanwhile_is_asked_again(site: Path, backend: str) -> None:
    (site / "more.py").write_text(_WITHOUT_DATABASE)
    with Program(site, words(backend)) as program:
        assert served(program) == b"here"
        assert "The database failed while the URLconf 'urls' was" in program.stderr.text()


@pytest.mark.parametrize("origin", ["--metrics-bind", "DUALWS_METRICS_BIND"])
def test_workers_whose_port_of_figures_is_taken(site: Path, backend: str, origin: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [*words(backend), "--workers", "2"]
        if origin == "--metrics-bind":
            command += [origin, address]
        else:
            (site / "settings.py").write_text(f"{_SETTINGS}{origin} = [{address!r}]\n")
        said = refused(site, *command)
    assert said.startswith(f"{origin}: Cannot listen on {address}: port")
    assert len(said.splitlines()) == 1


def test_a_binary_upgrade_leaves_the_port_of_figures_to_its_workers(
    site: Path, backend: str
) -> None:
    """The ones before listen there, perhaps as a user beside whom only they may."""
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        socket.create_server(("127.0.0.1", 0)) as inherited,
    ):
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        # What gunicorn tells the arbiter that follows it.
        environ = {"GUNICORN_PID": str(os.getpid()), "GUNICORN_FD": str(inherited.fileno())}
        done = subprocess.run(
            [sys.executable, *words(backend), "--workers", "1", "--metrics-bind", address],
            cwd=site,
            env=server_environment(site, environ),
            pass_fds=[inherited.fileno()],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    assert "Booting worker" in done.stderr, done.stderr
    assert f"Cannot listen on {address}" in done.stderr


@pytest.mark.parametrize("chosen_by", ["option", "environment", "settings"])
def test_workers_whose_backend_lacks_its_library(site: Path, chosen_by: str) -> None:
    install(
        site / "packages",
        "dualws-made-up",
        backends={"made": "made_up:Backend"},
        modules={"made_up": "import absent_library\n"},
        requires=["absent-library>=2; extra == 'made'"],
    )
    command, env = [*words("made"), "--workers", "2"], {"PYTHONPATH": str(site / "packages")}
    if chosen_by != "option":
        place = command.index("--backend")
        del command[place : place + 2]
    if chosen_by == "environment":
        env["DUALWS_BACKEND"] = "made"
    if chosen_by == "settings":
        (site / "settings.py").write_text(f"{_SETTINGS}DUALWS_BACKEND = 'made'\n")
    said = refused(site, *command, **env)
    assert said.startswith("The backend 'made' needs the library 'absent_library', which is not")
    assert len(said.splitlines()) == 1


def test_workers_on_an_unknown_backend(site: Path) -> None:
    assert "no backend 'nothing'" in refused(site, *words("nothing"), "--workers", "2")
