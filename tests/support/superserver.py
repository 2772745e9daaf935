"""``manage.py superserver`` of a small project, and fixtures that a conftest.py imports."""

from __future__ import annotations

import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from support.program import Program
from support.timing import TIMEOUT

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

MANAGE = """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""

VIEWS = """
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
    (package / "views.py").write_text(VIEWS)
    (package / "urls.py").write_text(_URLS)
    (package / "wsgi.py").write_text(_WSGI)
    (tmp_path / "manage.py").write_text(MANAGE)
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
