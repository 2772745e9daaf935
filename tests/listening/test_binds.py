"""Unix sockets, inherited descriptors and systemd's: where else a server listens."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
from pathlib import Path
from typing import Self

import pytest
from websockets.sync.client import connect, unix_connect

from dualws.errors import AddressUnavailable
from dualws.serving import inherited, listen
from support.program import Program
from support.sites import UnixConnection, environ_of, words
from support.timing import TIMEOUT

_LISTENS = re.compile(r" on .*Ctrl-C stops")


def announced(program: Program) -> str:
    """The line that says where it listens."""
    found = program.stdout.wait_for(_LISTENS)
    assert found is not None, program.text()
    return found[0]


# -- unix sockets ----------------------------------------------------------------------


def test_a_unix_socket_beside_a_port(site: Path, backend: str) -> None:
    path = site / "dualws.sock"
    options = ("--bind", f"unix:{path}", "--bind", "127.0.0.1:0")
    with Program(site, words(backend, *options)) as program:
        assert f" on unix:{path}, http://127.0.0.1:" in announced(program)
        told = environ_of(UnixConnection(path))
        assert (told["REMOTE_ADDR"], told["REMOTE_PORT"]) == ("", "")
        assert (told["SERVER_NAME"], told["SERVER_PORT"]) == ("localhost", "80")
        with unix_connect(str(path)) as client:
            client.send("hello")
            assert client.recv() == "hello"
        with connect(program.url().replace("http", "ws")) as client:
            client.send("hello")
            assert client.recv() == "hello"
        assert program.stop(signal.SIGTERM) == 0
        assert not path.exists()


@pytest.mark.needs("curl")
def test_curl_on_a_unix_socket(site: Path, backend: str) -> None:
    path = site / "dualws.sock"
    with Program(site, words(backend, "--bind", f"unix:{path}")) as program:
        announced(program)
        curl = shutil.which("curl")
        assert curl is not None
        done = subprocess.run(
            [curl, "-sS", "--unix-socket", str(path), "http://example.com/"],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=True,
        )
        assert '"HTTP_HOST": "example.com"' in done.stdout


@pytest.mark.parametrize(("option", "mode"), [((), 0o660), (("--unix-socket-mode", "600"), 0o600)])
def test_the_mode_of_a_unix_socket(
    site: Path, backend: str, option: tuple[str, ...], mode: int
) -> None:
    path = site / "dualws.sock"
    with Program(site, words(backend, "--bind", f"unix:{path}", *option)) as program:
        announced(program)
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_the_file_of_a_dead_server_is_replaced(site: Path, backend: str) -> None:
    path = site / "dualws.sock"
    with Program(site, words(backend, "--bind", f"unix:{path}")) as program:
        announced(program)
        program.process.kill()
        program.wait()
        assert path.exists()
    with Program(site, words(backend, "--bind", f"unix:{path}")) as program:
        announced(program)
        assert environ_of(UnixConnection(path))["REQUEST_METHOD"] == "GET"


def test_the_file_of_a_live_server_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "dualws.sock"
    sockets = listen.bind_sockets([f"unix:{path}"])
    with sockets[0]:
        with pytest.raises(AddressUnavailable, match="another server listens on this file"):
            listen.bind_sockets([f"unix:{path}"])
        assert path.exists()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(AddressUnavailable, match="is there and is no socket"):
        listen.bind_sockets([f"unix:{path}"])
    assert path.read_text() == "data"


def test_the_file_of_a_later_server_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "dualws.sock"
    first = listen.bind_sockets([f"unix:{path}"])
    with listen.removing([f"unix:{path}"]):
        first[0].close()
        later = listen.bind_sockets([f"unix:{path}"])
    with later[0]:
        assert path.exists()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("unix:", "names no file"),
        ("unix:absent/dualws.sock", "no folder absent. Make it first"),
        ("unix:" + "x" * 200, "the path is too long"),
        ("fd://x", "names no descriptor"),
        ("fd://999", "descriptor 999 is not a socket of this process"),
    ],
)
def test_an_address_that_cannot_be_had(address: str, message: str) -> None:
    with pytest.raises(AddressUnavailable, match=re.escape(message)):
        listen.bind_sockets([address])


def test_all_or_none_holds_for_files(tmp_path: Path) -> None:
    path = tmp_path / "dualws.sock"
    with pytest.raises(AddressUnavailable):
        listen.bind_sockets([f"unix:{path}", "fd://999"])
    # Nobody listens on what is left, so it can be had at once.
    with listen.bind_sockets([f"unix:{path}"])[0]:
        pass


# -- inherited descriptors -------------------------------------------------------------


class Inheritor(Program):
    """``dualws serve`` with listening sockets that its parent opened; it must end well.

    :param systemd: hand them over as systemd does
    """

    def __init__(
        self, site: Path, backend: str, *sockets: socket.socket, systemd: bool = False
    ) -> None:
        # The variables name the process itself, so it has to become the server.
        count = len(sockets)
        inherited = [sock.fileno() for sock in sockets]
        options = [word for n in range(count) for word in ("--bind", f"fd://{3 + n}")]
        become = (
            "import os, sys\n"
            f"spare = [os.dup2(number, 50 + n) for n, number in enumerate({inherited})]\n"
            "for n, number in enumerate(spare): os.dup2(number, 3 + n)\n"
            f"if {systemd}:\n"
            f"    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='{count}')\n"
            "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
        )
        command = words(backend, *(("--bind", "127.0.0.1:1") if systemd else options))
        super().__init__(site, ["-c", become, *command], pass_fds=inherited)

    def __enter__(self) -> Self:
        try:
            announced(self)
        except BaseException as error:
            super().__exit__(type(error), error, None)
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            assert error is not None or self.stop() == 0, self.text()
        finally:
            super().__exit__(kind, error, trace)


@pytest.mark.parametrize("listening", [True, False], ids=["listening", "only bound"])
def test_an_inherited_descriptor(site: Path, backend: str, listening: bool) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        if listening:
            sock.listen()
        host, port = sock.getsockname()
        with Inheritor(site, backend, sock) as server:
            assert f" on http://{host}:{port} " in server.stdout.text()
            told = environ_of(http.client.HTTPConnection(host, port, timeout=TIMEOUT))
            assert told["SERVER_PORT"] == str(port)
            with connect(f"ws://{host}:{port}/") as client:
                client.send("hello")
                assert client.recv() == "hello"


def test_the_sockets_of_systemd_stand_instead_of_bind(site: Path, backend: str) -> None:
    path = site / "systemd.sock"
    first = socket.create_server(("::1", 0), family=socket.AF_INET6)
    second = socket.socket(socket.AF_UNIX)
    with first, second:
        second.bind(str(path))
        second.listen()
        with Inheritor(site, backend, first, second, systemd=True):
            port = first.getsockname()[1]
            told = environ_of(http.client.HTTPConnection("::1", port, timeout=TIMEOUT))
            assert told["REMOTE_ADDR"] == "::1"
            assert told["process"] == {"variables": [], "bind": ["fd://3", "fd://4"]}
            assert environ_of(UnixConnection(path))["SERVER_NAME"] == "localhost"
        # The file is not the server's own: systemd made it, and listens on.
        assert path.exists()


def test_descriptors_of_another_process_are_not_taken() -> None:
    environ = {"LISTEN_PID": str(os.getpid() + 1), "LISTEN_FDS": "1"}
    assert inherited.from_systemd(environ) == ()
    assert environ["LISTEN_FDS"] == "1"


def test_a_descriptor_that_does_not_stream() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        with pytest.raises(AddressUnavailable, match="no stream socket"):
            listen.bind_sockets([f"fd://{sock.fileno()}"])
        # It is still its owner's.
        sock.getsockname()
