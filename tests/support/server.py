"""Servers in processes of their own, as a user starts them.

Law: a server is started by the command line that users type, found by the address that it
announces, stopped by its process id, and everything that it prints is kept. A traceback that a
test did not expect is a failure of that test (:meth:`LiveServer.check`).
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from support.raw import RawClient, Response
from support.timing import TIMEOUT, eventually

#: Folder that holds the package ``support``: on the path of every server process.
TESTS = Path(__file__).resolve().parent.parent

#: Warnings are errors in the servers too, but for those of libraries at import.
WARNINGS = (
    "error",
    "ignore::DeprecationWarning:ws4py",
    "ignore::SyntaxWarning",
)

_ANNOUNCED = re.compile(r" on http://(\[[^\]]+\]|[^:/\s]+):(\d+)")
#: What stands between a traceback and the one that it belongs to.
_CHAINED = re.compile(r"(another exception occurred|of the following exception):\n+\Z")
_TRACEBACK = re.compile(r"Traceback \(most recent call last\):\n(?:[ +|].*\n|\n)*(.*)")


class Output:
    """Collects one stream of a process, line by line."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with self._stream:
            for line in self._stream:
                with self._changed:
                    self._lines.append(line.decode(errors="backslashreplace"))
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def position(self) -> int:
        """Number of lines so far: the mark from which :meth:`text` and :meth:`wait_for` look."""
        return len(self._lines)

    def text(self, start: int = 0) -> str:
        """All that came since line *start*."""
        with self._changed:
            return "".join(self._lines[start:])

    def wait_for(
        self, pattern: str | re.Pattern[str], *, start: int = 0, timeout: float = TIMEOUT
    ) -> re.Match[str] | None:
        """Wait until *pattern* is found in what came since *start*; None if it never is.

        :param timeout: seconds
        """
        found: re.Match[str] | None = None

        def look() -> bool:
            nonlocal found
            found = re.search(pattern, "".join(self._lines[start:]))
            return found is not None or self._ended

        with self._changed:
            self._changed.wait_for(look, timeout)
        return found

    def wait_for_end(self, timeout: float = TIMEOUT) -> None:
        """Wait until the process has closed the stream."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended, timeout)


def end(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
    """End a process, unless it has ended: by a signal, and by SIGKILL when that does not do."""
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def options(**settings: float) -> list[str]:
    """The words on the command line for settings that are numbers."""
    return [
        word
        for name, value in settings.items()
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]


class LiveServer:
    """A server process on a free port of this machine.

    :param application: ``MODULE[:NAME]``
    :param backend: name of the backend
    :param folder: where it runs: an empty folder, so that the installed dualws is what is tested
    :param options: more words for ``dualws serve``
    :param env: more environment variables
    :param host: address to listen on, as in ``--bind``
    :param port: port to listen on; 0 for a free one
    """

    def __init__(
        self,
        application: str,
        *,
        backend: str,
        folder: Path,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.application = application
        self.backend = backend
        self.folder = folder
        command = [
            sys.executable,
            *(word for rule in WARNINGS for word in ("-W", rule)),
            *("-m", "dualws.serving.cli", "serve", application),
            *("--backend", backend, "--bind", f"{host}:{port}"),
            *options,
        ]
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=server_environment(folder, env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.stdout = Output(self.process.stdout)
        self.stderr = Output(self.process.stderr)
        self._checked = 0
        self._expected: list[str] = []
        try:
            announced = self.stdout.wait_for(_ANNOUNCED)
            assert announced is not None, f"{' '.join(command)} announced no address"
        except BaseException as error:
            self.stop()
            error.add_note(self.output())
            raise
        self.host = announced[1].strip("[]")
        self.port = int(announced[2])

    # -- where it is ---------------------------------------------------------------

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self.port

    @property
    def netloc(self) -> str:
        """``HOST:PORT`` as a client puts it into ``Host``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def url(self, path: str = "/", scheme: str = "http") -> str:
        """Address of *path*; *scheme* ``ws`` for a websocket."""
        return f"{scheme}://{self.netloc}{path}"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def rss(self) -> int:
        """Memory that it holds now, in bytes."""
        ps = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(self.pid)], capture_output=True, text=True, check=True
        )
        return int(ps.stdout) * 1024

    def peak_rss(self) -> int:
        """Most memory that it has held so far, in bytes (Linux; elsewhere what it holds now)."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return self.rss()
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024

    # -- talking to it -------------------------------------------------------------

    def connect(self, receive_buffer: int | None = None, source: str | None = None) -> RawClient:
        """A new connection; close it, or use it in a ``with`` statement.

        :param receive_buffer: bytes that the system keeps for a client that does not read
        :param source: address of this machine that the client comes from
        """
        return RawClient(self.address, receive_buffer, source)

    def get(self, path: str, **query: object) -> Response:
        """One GET on a connection of its own."""
        if query:
            path += "?" + urllib.parse.urlencode(query)
        with self.connect() as client:
            client.send_request("GET", path, ("Host", self.netloc), ("Connection", "close"))
            return client.read_response()

    def get_json(self, path: str, **query: object) -> Any:
        """One GET whose answer is 200 and JSON."""
        answer = self.get(path, **query)
        assert answer.status == 200, answer
        return json.loads(answer.body)

    # -- its end -------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to it, and to nothing else."""
        self.process.send_signal(number)

    def wait(self, timeout: float = TIMEOUT) -> int:
        """Wait for its end; its exit code. Output is complete then."""
        code = self.process.wait(timeout)
        self.stdout.wait_for_end()
        self.stderr.wait_for_end()
        return code

    def stop(self) -> int:
        """End it: SIGTERM, and SIGKILL when that does not do; its exit code."""
        end(self.process)
        return self.wait()

    # -- what it printed -----------------------------------------------------------

    def output(self, start: int = 0) -> str:
        """What it printed, for messages of failures; *start* is a line of stderr."""
        return f"{self.stdout.text()}{self.stderr.text(start)}"

    def expect_traceback(self, pattern: str, times: int = 1) -> None:
        """Wait for tracebacks whose last line matches *pattern*, and accept them in this test.

        :param times: how many; what comes after them would be in a later test's time
        """
        self._expected.append(pattern)

        def there() -> bool:
            return sum(bool(re.search(pattern, line)) for line in self._tracebacks()) >= times

        eventually(there, what=f"too few tracebacks match {pattern!r}:\n{self.stderr.text()}")

    def accept_traceback(self, pattern: str) -> None:
        """A traceback whose last line matches *pattern* may come in this test, or not."""
        self._expected.append(pattern)

    def _tracebacks(self) -> list[str]:
        return _TRACEBACK.findall(self.stderr.text(self._checked))

    def _whole(self) -> bool:
        """No traceback has only begun."""
        return all(self._tracebacks()) and not _CHAINED.search(self.stderr.text(self._checked))

    def check(self) -> None:
        """Fail when a traceback that nobody expected came since the last check."""
        # The rest of one that has begun comes at once.
        eventually(lambda: self._whole() or not self.running, what="half a traceback")
        unexpected = [
            line
            for line in self._tracebacks()
            if not any(re.search(pattern, line) for pattern in self._expected)
        ]
        text = self.stderr.text(self._checked)
        self._checked = self.stderr.position
        self._expected.clear()
        if unexpected or not self.running:
            state = "printed a traceback" if self.running else "has ended"
            raise AssertionError(f"the {self.backend} server {state}: {unexpected}\n{text}")


def server_environment(folder: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """Environment of a server process: this one's, with the test packages on the path.

    :param folder: the server's working folder, in which test projects keep their database
    :param extra: variables to add or replace
    """
    environ = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("DUALWS_") or key == "DUALWS_PURE_PYTHON"
    }
    environ.pop("DJANGO_SETTINGS_MODULE", None)
    environ.update(
        PYTHONPATH=str(TESTS),
        PYTHONUNBUFFERED="1",
        DUALWS_TEST_FOLDER=str(folder),
    )
    environ.update(extra)
    return environ
