"""The command ``dualws``: what it says, how it ends, and which value of a setting counts."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

import dualws
from dualws import hot
from dualws.contract import ServerConfig
from dualws.errors import AddressUnavailable
from dualws.serving import listen
from support.program import Program, python

_CONFIG = """
import dataclasses, json
def application(environ, start_response):
    body = json.dumps(dataclasses.asdict(environ["wsgi.server"].config)).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

_ECHO = """
def application(environ, start_response):
    ws = environ["wsgi.websocket"]
    for message in ws:
        ws.send(message)
    return []
"""

_DJANGO = """
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
from django.core.wsgi import get_wsgi_application
get_wsgi_application()
from config import application
"""

#: Values of options that would not take just any text.
_SPECIAL: dict[str, str | tuple[str, ...]] = {
    "access_log_format": "json",
    "live_path": "/a",
    "metrics_bind": ("127.0.0.1:0", "127.0.0.1:0"),
    "metrics_path": "/b",
    "ready_path": "/c",
    "client_certificates": "optional",
    "sni_certificates": ("a.example=a.pem", "b.example=b.pem,b.key"),
    "trusted_headers": ("x-forwarded-host", "x-forwarded-port"),
    "trusted_proxies": ("unix", "10.0.0.0/8"),
    "unix_socket_mode": "600",
}
#: Options after which the server would speak otherwise, with words that leave it as it is.
_KEPT = {"certfile": ["--certfile", ""], "proxy_protocol": ["--no-proxy-protocol"]}


def words(application: str, backend: str, *options: str) -> list[str]:
    """The command line of ``dualws serve``, on a free port unless *options* bind another."""
    bind = () if "--bind" in options else ("--bind", "127.0.0.1:0")
    return ["-m", "dualws.serving.cli", "serve", application, "--backend", backend, *bind, *options]


def refused(folder: Path, *arguments: str, **env: str) -> str:
    """The one message of a command that cannot start: no traceback of dualws's, code 2."""
    done = python(folder, "-m", "dualws.serving.cli", *arguments, env=env)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr
    return done.stderr.removeprefix("Error: ").rstrip()


def config_of(url: str) -> dict[str, object]:
    """The configuration that a server of ``config.application`` runs with."""
    with urllib.request.urlopen(url) as answer:
        config: dict[str, object] = json.load(answer)
    return config


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with small applications."""
    (tmp_path / "config.py").write_text(_CONFIG)
    (tmp_path / "echo.py").write_text(_ECHO)
    (tmp_path / "wsgi.py").write_text(_DJANGO)
    (tmp_path / "settings.py").write_text("SECRET_KEY = 'x'\n")
    return tmp_path


# -- running and stopping --------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_cleanly_with_a_websocket_open(
    site: Path, backend: str, number: int
) -> None:
    with Program(site, words("echo", backend)) as program:
        url = program.url()
        line = program.stdout.text()
        assert re.fullmatch(
            rf"dualws {re.escape(dualws.__version__)}: echo on {url} \(.+\), Ctrl-C stops\n", line
        )
        assert (", pure Python)" in line) is not hot.COMPILED
        with connect(url.replace("http", "ws")) as client:
            client.send("hello")
            assert client.recv() == "hello"
            assert program.stop(number) == 0
            with pytest.raises(ConnectionClosed):
                client.recv()
        assert program.text() == line


def test_hangup_removes_the_file_of_a_unix_socket(site: Path, backend: str) -> None:
    path = site / "echo.sock"
    with Program(site, words("echo", backend, "--bind", f"unix:{path}")) as program:
        assert program.stdout.wait_for("Ctrl-C stops")
        assert path.exists()
        assert program.stop(signal.SIGHUP) == 0
        assert not path.exists()


def test_hangup_means_nothing_under_nohup(site: Path, backend: str) -> None:
    source = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
    )
    with Program(site, ["-c", source, *words("config", backend)]) as program:
        url = program.url()
        program.process.send_signal(signal.SIGHUP)
        assert config_of(url)["bind"] == ["127.0.0.1:0"]
        assert program.stop() == 0


def test_several_addresses(site: Path, backend: str) -> None:
    options = ("--bind", "127.0.0.1:0", "--bind", "[::1]:0")
    with Program(site, words("config", backend, *options)) as program:
        program.url()
        urls = re.findall(r"http://[^ ,]+", program.stdout.text())
        assert len(urls) == 2
        assert "[::1]" in urls[1]
        for url in urls:
            assert config_of(url)["bind"] == ["127.0.0.1:0", "[::1]:0"]


def test_chdir_is_where_the_application_is_looked_for(
    site: Path, tmp_path: Path, backend: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = words("config:application", backend, "--chdir", str(site))
    with Program(elsewhere, command) as program:
        assert config_of(program.url())["threads"] == ServerConfig().threads


def test_the_backend_of_the_settings_carries_it(site: Path, backend: str) -> None:
    (site / "settings.py").write_text(f"SECRET_KEY = 'x'\nDUALWS_BACKEND = {backend!r}\n")
    command = ["-m", "dualws.serving.cli", "serve", "wsgi", "--bind", "127.0.0.1:0"]
    with Program(site, command) as program:
        program.url()
        assert f"({backend} " in program.stdout.text().lower()


def test_the_projects_logging_does_not_silence_the_server(site: Path, backend: str) -> None:
    (site / "settings.py").write_text("SECRET_KEY = 'x'\nLOGGING = {'version': 1}\n")
    (site / "wsgi.py").write_text(
        _DJANGO.replace("from config import application", "")
        + "def application(environ, start_response): raise LookupError('found nothing')\n"
    )
    with Program(site, words("wsgi", backend)) as program:
        with pytest.raises(urllib.error.HTTPError, match="500") as refusal:
            urllib.request.urlopen(program.url())
        refusal.value.close()
        assert program.stderr.wait_for("LookupError: found nothing")


# -- the configuration -----------------------------------------------------------------


def test_an_option_counts_before_a_setting_before_the_default(site: Path, backend: str) -> None:
    (site / "settings.py").write_text(
        "SECRET_KEY = 'x'\n"
        "DUALWS_PING_INTERVAL = 7\n"
        "DUALWS_MAX_MESSAGE_SIZE = 70\n"
        "DUALWS_ALLOWED_ORIGINS = ['https://a.example']\n"
        "CSRF_TRUSTED_ORIGINS = ['https://b.example']\n"
    )
    with Program(site, words("wsgi", backend, "--ping-interval", "8.5")) as program:
        config = config_of(program.url())
    assert config["ping_interval"] == 8.5
    assert config["max_message_size"] == 70
    assert config["ping_timeout"] == ServerConfig().ping_timeout
    assert config["allowed_origins"] == ["https://a.example"]


def test_every_field_is_an_option(site: Path, backend: str) -> None:
    given: dict[str, object] = {}
    options: list[str] = []
    for number, field in enumerate(dataclasses.fields(ServerConfig), 2):
        flag = "--" + field.name.replace("_", "-")
        if field.name in ("bind", "workers"):
            continue
        if field.name in _KEPT:
            options += _KEPT[field.name]
            given[field.name] = field.default
            continue
        if field.name in _SPECIAL:
            special = _SPECIAL[field.name]
            values = (special,) if isinstance(special, str) else special
            options += [word for value in values for word in (flag, value)]
            given[field.name] = special if isinstance(special, str) else list(special)
            continue
        if field.type == "bool":
            options.append(flag.replace("--", "--no-", 1) if field.default else flag)
            given[field.name] = not field.default
        elif str(field.type).startswith("tuple"):
            options += [flag, "https://a.example", flag, "*"]
            given[field.name] = ["https://a.example", "*"]
        else:
            value = 9 if field.name == "compression_window_bits" else number * 1000
            options += [flag, str(value)]
            given[field.name] = str(value) if field.type == "str" else value
    with Program(site, words("config", backend, *options)) as program:
        config = config_of(program.url())
        assert config.pop("bind") == ["127.0.0.1:0"]
        assert config.pop("workers") == 0
        assert config == given


def test_trusted_origins_stand_in_for_allowed_ones(site: Path, backend: str) -> None:
    (site / "settings.py").write_text(
        "SECRET_KEY = 'x'\nCSRF_TRUSTED_ORIGINS = ['https://b.example']\n"
    )
    with Program(site, words("wsgi", backend)) as program:
        assert config_of(program.url())["allowed_origins"] == ["https://b.example"]


def test_wrong_settings_and_options_are_all_listed(site: Path, backend: str) -> None:
    (site / "settings.py").write_text(
        "SECRET_KEY = 'x'\nDUALWS_PING_INTERVALL = 7\nDUALWS_THREADS = '4'\n"
    )
    text = refused(site, *words("wsgi", backend, "--send-timeout", "-1")[2:])
    assert "no setting DUALWS_PING_INTERVALL. Did you mean DUALWS_PING_INTERVAL?" in text
    assert "DUALWS_THREADS is '4', not a whole number" in text
    assert "--send-timeout is -1.0, out of range" in text


def test_check_reports_the_settings(site: Path) -> None:
    (site / "settings.py").write_text(
        "SECRET_KEY = 'x'\n"
        "INSTALLED_APPS = ['dualws']\n"
        "DUALWS_BACKEND = 'gevnet'\n"
        "DUALWS_ACCESSLOG = True\n"
        "DUALWS_ACCESS_LOG = 1\n"
        "DUALWS_BIND = '127.0.0.1:8000'\n"
        "DUALWS_MAX_MESSAGE_SIZE = 0\n"
        "DUALWS_ALLOWED_ORIGINS = ['example.com']\n"
    )
    done = python(site, "-m", "django", "check", "--settings", "settings", env={"PYTHONPATH": "."})
    assert done.returncode == 1
    for line in (
        "(dualws.E001) dualws has no setting DUALWS_ACCESSLOG.",
        "HINT: Did you mean DUALWS_ACCESS_LOG?",
        "(dualws.E002) DUALWS_ACCESS_LOG is 1, not a bool.",
        "(dualws.E002) DUALWS_BIND is '127.0.0.1:8000', not a list of strings.",
        "(dualws.E003) DUALWS_MAX_MESSAGE_SIZE is 0, out of range.",
        "(dualws.E003) DUALWS_ALLOWED_ORIGINS is ['example.com']: 'example.com' is no origin.",
        "(dualws.E004) DUALWS_BACKEND: no backend 'gevnet'.",
        "identified 6 issues",
    ):
        assert line in done.stderr, done.stderr


def test_check_deploy_warns_of_every_origin(site: Path) -> None:
    (site / "settings.py").write_text(
        "SECRET_KEY = 'x'\nINSTALLED_APPS = ['dualws']\nDUALWS_ALLOWED_ORIGINS = ['*']\n"
    )
    command = ["-m", "django", "check", "--settings", "settings", "--tag", "dualws"]
    assert "no issues" in python(site, *command, env={"PYTHONPATH": "."}).stdout
    done = python(site, *command, "--deploy", env={"PYTHONPATH": "."})
    assert "(dualws.W001)" in done.stderr, done.stdout


# -- what cannot start says why --------------------------------------------------------


@pytest.mark.parametrize(
    ("application", "message"),
    [
        ("absent.wsgi", "no module 'absent'"),
        ("config.wsgi", "no module 'config.wsgi'"),
        ("config.py", "Give a module, not a file: config"),
        ("config:app", "no 'app'. Callables in it: application"),
        ("config:json", "cannot be called"),
        ("asgi", "is an ASGI application"),
        ("broken", "ZeroDivisionError"),
        ("unfinished", "SyntaxError"),
        ("needy", "No module named 'absent_dependency'"),
        (":application", "names no application"),
    ],
)
def test_an_application_that_is_not_there(
    site: Path, backend: str, application: str, message: str
) -> None:
    (site / "asgi.py").write_text("async def application(scope, receive, send): ...\n")
    (site / "broken.py").write_text("RATE = 1\nLIMIT = RATE / 0\n")
    (site / "unfinished.py").write_text("application = (\n")
    (site / "needy.py").write_text("import absent_dependency\n")
    text = refused(site, "serve", application, "--backend", backend)
    assert message in text
    if application == "broken":
        assert "LIMIT = RATE / 0" in text
        assert "load.py" not in text


@pytest.mark.parametrize("application", ["mysite", "mysite.settings"])
def test_the_module_beside_the_one_that_is_named(
    site: Path, backend: str, application: str
) -> None:
    (site / "mysite").mkdir()
    for name in ("__init__", "settings"):
        (site / "mysite" / f"{name}.py").write_text("SECRET_KEY = 'x'\n")
    command = ("serve", application, "--backend", backend)
    assert "mysite.wsgi" not in refused(site, *command)
    (site / "mysite" / "wsgi.py").write_text(_CONFIG)
    assert refused(site, *command).endswith("Did you mean mysite.wsgi?")


def test_a_wrong_settings_module(site: Path, backend: str) -> None:
    text = refused(
        site, "serve", "wsgi", "--backend", backend, DJANGO_SETTINGS_MODULE="mysite.settings"
    )
    assert "settings module 'mysite.settings' does not exist" in text
    assert len(text.splitlines()) == 1
    without = refused(site, "serve", "wsgi", DJANGO_SETTINGS_MODULE="mysite.settings")
    assert without == text


def test_workers_without_gunicorn(site: Path) -> None:
    source = (
        "import sys\n"
        "sys.modules['gunicorn'] = None\n"
        "from dualws.serving.cli import main\n"
        "main(['serve', 'config', '--workers', '2'])\n"
    )
    done = python(site, "-c", source)
    assert done.returncode == 2
    assert done.stderr == (
        "Error: Several workers need gunicorn, which is not installed: pip install gunicorn\n"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--workers", "2", "--bind", "8000"), "Give the host too: 127.0.0.1:8000"),
        (("--workers", "1000"), "--workers is 1000, out of range"),
        (("--workers", "2", "--ping-interval", "-1"), "--ping-interval is -1.0, out of range"),
    ],
)
def test_workers_with_wrong_options(
    site: Path, backend: str, options: tuple[str, ...], message: str
) -> None:
    assert message in refused(site, "serve", "config", "--backend", backend, *options)


def test_an_unknown_backend(site: Path) -> None:
    assert "no backend 'nothing'" in refused(site, "serve", "config", "--backend", "nothing")
    assert "no backend 'none'" in refused(site, "serve", "config", DUALWS_BACKEND="none")


def test_a_port_in_use(site: Path, backend: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket() as free:
        port = taken.getsockname()[1]
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{port}"
        text = refused(
            site,
            *("serve", "config", "--backend", backend, "--bind", "127.0.0.1:0"),
            *("--bind", address),
        )
    assert f"Cannot listen on {address}: port {port} is already in use" in text
    assert "take another port" in text


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("8000", "Give the host too: 127.0.0.1:8000"),
        ("127.0.0.1", "Write HOST:PORT"),
        ("127.0.0.1:99999", "is not an address"),
        ("::1:8000", "Put an IPv6 address in brackets"),
        ("no..host:8000", "the host 'no..host' is not known here"),
        ("192.0.2.1:8000", "does not have that address"),
    ],
)
def test_an_address_that_cannot_be_listened_on(address: str, message: str) -> None:
    with pytest.raises(AddressUnavailable, match=re.escape(message)):
        listen.bind_sockets([address])


def test_a_port_that_is_not_permitted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(listen, "_listen", refuse)
    with pytest.raises(AddressUnavailable, match=r"not permitted\. Ports below 1024"):
        listen.bind_sockets(["127.0.0.1:80"])


def test_all_addresses_or_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        first = socket.create_server(("127.0.0.1", 0))
        free = first.getsockname()[1]
        first.close()
        wanted = [f"127.0.0.1:{free}", f"127.0.0.1:{taken.getsockname()[1]}"]
        with pytest.raises(AddressUnavailable):
            listen.bind_sockets(wanted)
        # The first one was given back.
        socket.create_server(("127.0.0.1", free)).close()


def test_a_name_gets_all_its_addresses_on_one_port() -> None:
    sockets = listen.bind_sockets(["localhost:0"])
    try:
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
        for sock in sockets:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            if sock.family == socket.AF_INET6:
                assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    finally:
        for sock in sockets:
            sock.close()


# -- the command line itself -----------------------------------------------------------


def test_version_and_help_import_no_command(tmp_path: Path) -> None:
    source = (
        "import sys\n"
        "from dualws.serving.cli import main\n"
        "try:\n"
        "    main([sys.argv[1]])\n"
        "finally:\n"
        "    early = {'django', 'rich', 'stevedore', 'dualws.conf'} & set(sys.modules)\n"
        "    assert not early, early\n"
    )
    done = python(tmp_path, "-c", source, "--version")
    assert done.stdout == f"dualws {dualws.__version__}\n"
    done = python(tmp_path, "-c", source, "--help")
    assert done.returncode == 0, done.stderr
    for command in ("serve", "backends", "demo"):
        assert re.search(rf"^  {command} ", done.stdout, re.MULTILINE)


def test_an_unknown_command(tmp_path: Path) -> None:
    done = python(tmp_path, "-m", "dualws.serving.cli", "sevre")
    assert done.returncode == 2
    assert "No such command 'sevre'. Did you mean 'serve'?" in done.stderr
    done = python(tmp_path, "-m", "dualws.serving.cli", "xyz")
    assert done.stderr.endswith("No such command 'xyz'.\n")


def test_python_m_dualws(tmp_path: Path) -> None:
    done = python(tmp_path, "-m", "dualws", "--version")
    assert done.stdout == f"dualws {dualws.__version__}\n"
    assert "Usage: dualws serve " in python(tmp_path, "-m", "dualws", "serve", "--help").stdout


def test_help_of_serve_tells_every_default(tmp_path: Path) -> None:
    done = python(tmp_path, "-m", "dualws.serving.cli", "serve", "--help")
    for field in dataclasses.fields(ServerConfig):
        assert "--" + field.name.replace("_", "-") in done.stdout
    assert "Default: 127.0.0.1:8000." in re.sub(r"\s+", " ", done.stdout)
