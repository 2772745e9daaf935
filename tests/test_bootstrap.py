"""Choosing the backend and preparing the process, before anything else is imported."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from support.distributions import BACKEND, install, install_third
from support.program import Program, python

_CHOOSE = """
import json, sys
from dualws import bootstrap
from dualws.errors import ConfigurationError
option, application = json.loads(sys.argv[1])
try:
    answer = list(bootstrap.choose(option, application))
except ConfigurationError as error:
    answer = [type(error).__name__, str(error)]
early = sorted({"django", "gevent", "tornado", "mysite", "ssl", "asyncio"} & set(sys.modules))
print(json.dumps([answer, early]))
"""

_OTHER = {"other_backend": BACKEND.format(name="other", version=1)}

_WSGI = """
import os
from django.core.wsgi import get_wsgi_application
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
application = get_wsgi_application()
raise RuntimeError("the probe went on after Django's start")
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a package ``mysite`` whose settings name Tornado."""
    package = tmp_path / "mysite"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "settings.py").write_text('DUALWS_BACKEND = "tor" + "nado"\n')
    (package / "wsgi.py").write_text(_WSGI)
    return tmp_path


def choose(
    site: Path, option: str | None = None, application: str | None = "mysite.wsgi", **env: str
) -> list[str]:
    """What ``bootstrap.choose`` answers in a process of its own, which must stay clean."""
    done = python(site, "-c", _CHOOSE, json.dumps([option, application]), env=env)
    assert done.returncode == 0, done.stderr
    answer, early = json.loads(done.stdout)
    assert early == []
    chosen: list[str] = answer
    return chosen


def test_an_option_counts_before_all_else(site: Path) -> None:
    assert choose(site, "a", DUALWS_BACKEND="b") == ["a", "option"]


def test_the_environment_counts_before_the_settings(site: Path) -> None:
    assert choose(site, DUALWS_BACKEND="b") == ["b", "environment"]
    assert choose(site, "", DUALWS_BACKEND="b") == ["b", "environment"]


def test_the_settings_of_the_wsgi_module_are_asked(site: Path) -> None:
    assert choose(site) == ["tornado", "settings"]
    assert choose(site, None, "mysite.wsgi:other") == ["tornado", "settings"]


def test_the_settings_of_the_environment_are_asked_without_an_application(site: Path) -> None:
    assert choose(site, None, None, DJANGO_SETTINGS_MODULE="mysite.settings") == [
        "tornado",
        "settings",
    ]


def test_gevent_is_the_default(site: Path) -> None:
    (site / "mysite" / "settings.py").write_text("")
    (site / "plain.py").write_text("def application(environ, start_response): ...\n")
    # A folder is enough to be looked for; nobody may import it before it is prepared.
    (site / "gevent").mkdir()
    (site / "gevent" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    for application in ("mysite.wsgi", None, "plain"):
        assert choose(site, None, application, PYTHONPATH=str(site)) == ["gevent", "default"]


_DEFAULT = """
import json, sys
for name in {hidden!r}:
    sys.modules[name] = None  # as if it were not installed
from dualws import bootstrap
choice = bootstrap.default()
bootstrap.announce(choice)
print(json.dumps(choice))
"""


def default(folder: Path, *hidden: str, **env: str) -> tuple[list[str], str]:
    """What ``bootstrap.default`` answers without the libraries *hidden*, and says on stderr."""
    done = python(folder, "-c", _DEFAULT.format(hidden=hidden), env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_the_only_backend_is_used_when_gevent_is_absent(tmp_path: Path) -> None:
    install(tmp_path, "other", backends={"other": "other_backend:Backend"}, modules=_OTHER)
    choice, said = default(tmp_path, "gevent", "tornado", PYTHONPATH=str(tmp_path))
    assert choice == ["other", "only"]
    assert "'gevent' is not installed: using 'other'" in said
    assert "DUALWS_BACKEND=other" in said


def test_gevent_is_asked_for_when_there_is_none_or_a_choice(tmp_path: Path) -> None:
    assert default(tmp_path, "gevent", "tornado") == (["gevent", "default"], "")
    install(tmp_path, "other", backends={"other": "other_backend:Backend"}, modules=_OTHER)
    install(tmp_path, "more", backends={"more": "other_backend:Backend"})
    hidden = ("gevent", "tornado")
    assert default(tmp_path, *hidden, PYTHONPATH=str(tmp_path)) == (["gevent", "default"], "")


def test_commands_use_the_only_backend(site: Path, tmp_path: Path) -> None:
    (site / "mysite" / "settings.py").write_text("SECRET_KEY = 'x'\n")
    install(tmp_path, "other", backends={"other": "other_backend:Backend"}, modules=_OTHER)
    for words in (["serve", "mysite.wsgi"], ["demo", "--no-browser"]):
        source = (
            "import sys\n"
            "sys.modules['gevent'] = sys.modules['tornado'] = None\n"
            "from dualws.serving.cli import main\n"
            f"main({[*words, '--bind', '127.0.0.1:0']!r})\n"
        )
        done = python(site, "-c", source, env={"PYTHONPATH": str(tmp_path)})
        assert "using 'other', the only one that is" in done.stderr, done.stderr
        # It cannot serve: it is chosen, though.
        assert "went on" in done.stderr or "NotImplementedError" in done.stderr, done.stderr


def test_settings_may_compute_print_and_leave_threads_behind(site: Path) -> None:
    (site / "mysite" / "settings.py").write_text(
        "import ssl, asyncio, threading, os\n"
        'print(\'{"backend": "printed"}\')\n'
        "os.write(1, b'raw')\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        "DUALWS_BACKEND = {True: 'tornado'}[bool(ssl)]\n"
    )
    assert choose(site) == ["tornado", "settings"]


def test_configured_settings_of_the_application_are_asked(site: Path) -> None:
    (site / "single.py").write_text(
        "from django.conf import settings\n"
        "settings.configure(DUALWS_BACKEND='tornado')\n"
        "import django\n"
        "django.setup()\n"
        "raise RuntimeError('went on')\n"
    )
    assert choose(site, None, "single") == ["tornado", "settings"]


@pytest.mark.parametrize("value", ["7", "''", "['gevent']", "object()"])
def test_a_backend_that_is_no_name_is_refused(site: Path, value: str) -> None:
    (site / "mysite" / "settings.py").write_text(f"DUALWS_BACKEND = {value}\n")
    kind, text = choose(site)
    assert kind == "ConfigurationError"
    assert 'DUALWS_BACKEND = "gevent"' in text


def test_a_wrong_settings_module_is_named(site: Path) -> None:
    kind, text = choose(site, DJANGO_SETTINGS_MODULE="mysite.setings")
    assert kind == "ConfigurationError"
    assert "'mysite.setings' does not exist" in text
    assert "DJANGO_SETTINGS_MODULE" in text
    assert "Traceback" not in text


def test_an_error_in_the_settings_shows_the_projects_lines_only(site: Path) -> None:
    (site / "mysite" / "settings.py").write_text("LIMIT = 1\nRATE = LIMIT / 0\n")
    kind, text = choose(site)
    assert kind == "ConfigurationError"
    assert "RATE = LIMIT / 0" in text
    assert "ZeroDivisionError: division by zero" in text
    assert str(site / "mysite" / "settings.py") in text
    assert "frozen importlib" not in text
    assert "probe.py" not in text


def test_a_syntax_error_in_the_settings_is_shown(site: Path) -> None:
    (site / "mysite" / "settings.py").write_text("DEBUG = (\n")
    kind, text = choose(site)
    assert kind == "ConfigurationError"
    assert "DEBUG = (" in text
    assert "SyntaxError" in text


def test_settings_that_end_the_process_are_reported(site: Path) -> None:
    (site / "mysite" / "settings.py").write_text(
        "import sys\nsys.stderr.write('no database here')\nsys.exit(4)\n"
    )
    kind, text = choose(site)
    assert kind == "ConfigurationError"
    assert "code 4" in text
    assert "no database here" in text


def test_an_application_that_cannot_be_imported_is_reported(site: Path) -> None:
    kind, text = choose(site, None, "mysite.wsgl")
    assert kind == "ApplicationNotFound"
    assert "'mysite.wsgl'" in text
    (site / "mysite" / "wsgi.py").write_text("from mysite import nothing\n")
    kind, text = choose(site)
    assert kind == "ApplicationNotFound"
    assert "cannot import name 'nothing'" in text


def test_prepare_happens_once(tmp_path: Path) -> None:
    install_third(tmp_path / "packages")
    report = tmp_path / "report"
    source = (
        "from dualws import bootstrap\n"
        "from dualws.errors import ConfigurationError\n"
        "assert bootstrap.prepared() is None\n"
        "first = bootstrap.prepare('third')\n"
        "assert bootstrap.prepare('third') is first is bootstrap.prepared()\n"
        "try:\n"
        "    bootstrap.prepare('gevent')\n"
        "except ConfigurationError as error:\n"
        "    print(error)\n"
    )
    env = {"PYTHONPATH": str(tmp_path / "packages"), "DUALWS_THIRD_REPORT": str(report)}
    done = python(tmp_path, "-c", source, env=env)
    assert "prepared for the backend 'third' and cannot become 'gevent'" in done.stdout, done.stderr
    assert len(report.read_text().splitlines()) == 1


def test_serve_imports_nothing_harmful_before_prepare(tmp_path: Path) -> None:
    install_third(tmp_path / "packages")
    (tmp_path / "hello.py").write_text("def application(environ, start_response): ...\n")
    report = tmp_path / "report"
    env = {"PYTHONPATH": str(tmp_path / "packages"), "DUALWS_THIRD_REPORT": str(report)}
    command = ["-m", "dualws.serving.cli", "serve", "hello", "--bind", "127.0.0.1:0"]
    with Program(tmp_path, [*command, "--backend", "third"], env=env) as program:
        program.url()
        assert program.stop() == 0
    early = set(json.loads(report.read_text()))
    harmful = {"ssl", "django", "asyncio", "rich", "ws4py", "http.client", "socketserver", "queue"}
    harmful |= {"concurrent.futures", "multiprocessing", "gevent", "tornado", "hello", "subprocess"}
    harmful |= {"requests", "urllib3", "sqlite3", "urllib.request", "asgiref"}
    assert not early & harmful
    ours = {name for name in early if name.startswith("dualws.")}
    assert not {name for name in ours if name.startswith(("dualws.serving.run", "dualws.pubsub"))}


def test_a_script_runs_prepared_as_if_started_directly(tmp_path: Path, backend: str) -> None:
    folder = tmp_path / "tools"
    folder.mkdir()
    (folder / "beside.py").write_text("")
    (folder / "script.py").write_text(
        "import json, sys, beside\n"
        "from dualws import bootstrap\n"
        "module = sys.modules.get('gevent.monkey')\n"
        "patched = module is not None and module.is_module_patched('socket')\n"
        "name = bootstrap.prepared().name\n"
        "print(json.dumps([name, patched, __name__, sys.argv, sys.path[0]]))\n"
        "sys.exit(7)\n"
    )
    arguments = ["--backend", backend, "tools/script.py", "--flag", "--backend", "x"]
    done = python(tmp_path, "-m", "dualws.bootstrap", *arguments)
    assert done.returncode == 7, done.stderr
    name, patched, main, argv, path = json.loads(done.stdout)
    assert (name, patched, main) == (backend, backend == "gevent", "__main__")
    assert argv == ["tools/script.py", "--flag", "--backend", "x"]
    assert path == str(folder)


def test_a_module_runs_prepared_too(tmp_path: Path, backend: str) -> None:
    (tmp_path / "tool.py").write_text("import sys\nprint(__name__, sys.argv[1:])\n")
    done = python(tmp_path, "-m", "dualws.bootstrap", f"--backend={backend}", "-m", "tool", "a")
    assert done.stdout == "__main__ ['a']\n", done.stderr


@pytest.mark.parametrize("arguments", [[], ["--backend"], ["--backend", "gevent"], ["--help"]])
def test_bootstrap_without_a_program_says_how(tmp_path: Path, arguments: list[str]) -> None:
    done = python(tmp_path, "-m", "dualws.bootstrap", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: python -m dualws.bootstrap")


def test_bootstrap_with_an_unknown_backend_says_so(tmp_path: Path) -> None:
    done = python(tmp_path, "-m", "dualws.bootstrap", "--backend", "nothing", "script.py")
    assert done.returncode == 2
    assert "no backend 'nothing'" in done.stderr
    assert "Traceback" not in done.stderr


def test_only_what_needs_to_come_first_is_refused_when_late(tmp_path: Path, backend: str) -> None:
    source = (
        "import sys, django.db\n"
        "from dualws import bootstrap\n"
        "from dualws.errors import PreparedTooLate\n"
        "try:\n"
        "    bootstrap.prepare(sys.argv[1])\n"
        "except PreparedTooLate as error:\n"
        "    print('refused:', error)\n"
        "print(bootstrap.prepared() is None)\n"
    )
    done = python(tmp_path, "-c", source, backend)
    assert done.returncode == 0, done.stderr
    if backend == "gevent":
        assert re.match(r"refused: .*django.*\nTrue\n$", done.stdout)
    else:
        assert done.stdout == "False\n"
