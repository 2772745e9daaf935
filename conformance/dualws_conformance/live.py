"""A live server in a process of its own: ``dualws serve`` of the kit's project.

Law: it is started as a user starts it, found by the address that it announces, and ended by
its process id. What it prints is kept.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from typing import IO

from dualws_conformance.timing import STARTING
from dualws_conformance.tls import Tls
from dualws_conformance.wire import Client, Transcript

APPLICATION = "dualws_conformance.project.wsgi"
#: Options of the server that most cases share: limits that are soon reached.
OPTIONS = (
    *("--ping-interval", "0", "--close-timeout", "1", "--send-timeout", "1"),
    *("--send-buffer-size", "65536", "--max-message-size", "262144"),
    *(
        "--drain-window",
        "1",
        "--max-queued-messages",
        "32",
        "--max-header-size",
        "16384",
        "--spool-size",
        "65536",
    ),
)

_ANNOUNCED = re.compile(r" on https?://(\[[^\]]+\]|[^:/\s]+):(\d+)")
_TRACEBACK = re.compile(r"Traceback \(most recent call last\):\n(?:[ +|].*\n|\n)*(.*)")


class ServerError(Exception):
    """The server does not come up; the text has what it printed."""


class _Output:
    """Collects one stream of the process."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._text = ""
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._stream:
            for line in self._stream:
                with self._changed:
                    self._text += line.decode(errors="backslashreplace")
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def text(self) -> str:
        return self._text

    def wait_for(self, pattern: re.Pattern[str], timeout: float) -> re.Match[str] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._ended or pattern.search(self._text), timeout)
            return pattern.search(self._text)

    def join(self) -> None:
        self._thread.join(STARTING)


class LiveServer:
    """The kit's project on one backend.

    :param backend: name of the backend
    :param options: more words for ``dualws serve``; they count after the kit's own
    :param tls: serve with this certificate
    :raises ServerError: it announced no address
    """

    def __init__(self, backend: str, options: Sequence[str] = (), tls: Tls | None = None) -> None:
        self.backend = backend
        self.tls = tls
        self._folder = tempfile.TemporaryDirectory(prefix="dualws-conformance-")
        command = [
            *(sys.executable, "-m", "dualws.serving.cli", "serve", APPLICATION),
            *("--backend", backend, "--bind", "127.0.0.1:0", *OPTIONS, *options),
            *(tls.options if tls else ()),
        ]
        self.process = subprocess.Popen(
            command,
            cwd=self._folder.name,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._stdout = _Output(self.process.stdout)
        self._stderr = _Output(self.process.stderr)
        announced = self._stdout.wait_for(_ANNOUNCED, STARTING)
        if announced is None:
            self.stop()
            said = self._stderr.text
            if self.process.returncode == 2 and said.startswith("Error: "):
                # As ``dualws serve`` says what must be changed first.
                raise ServerError(said.removeprefix("Error: ").rstrip())
            raise ServerError(
                f"the backend {backend!r} serves nothing: {' '.join(command[1:])} announced no "
                f"address and printed:\n{self._stdout.text}{self._stderr.text}"
            )
        self.address = announced[1].strip("[]"), int(announced[2])

    def connect(
        self, transcript: Transcript | None = None, receive_buffer: int | None = None
    ) -> Client:
        """A new connection; parameters as for :class:`dualws_conformance.wire.Client`."""
        return Client(self.address, transcript, receive_buffer, self.tls)

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""
        return "http" if self.tls is None else "https"

    @property
    def netloc(self) -> str:
        """``HOST:PORT``."""
        return f"{self.address[0]}:{self.address[1]}"

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self.process.poll() is None

    @property
    def errors(self) -> str:
        """What it printed to stderr so far."""
        return self._stderr.text

    def tracebacks(self) -> list[str]:
        """The last line of each traceback that it printed."""
        return _TRACEBACK.findall(self._stderr.text)

    def signal(self, number: int) -> None:
        """Send a signal to it, and to nothing else."""
        self.process.send_signal(number)

    def wait(self, timeout: float = STARTING) -> int | None:
        """Its exit code once it has ended; None when it has not within *timeout* seconds."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        self._stdout.join()
        self._stderr.join()
        return code

    def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL when that does not do."""
        if self.running:
            self.signal(signal.SIGTERM)
            if self.wait(10) is None:
                self.process.kill()
        self.wait()
        self._folder.cleanup()


def _environment() -> dict[str, str]:
    """This process's environment without what would choose another backend or project."""
    environ = dict(os.environ, PYTHONUNBUFFERED="1")
    for name in ("DUALWS_BACKEND", "DJANGO_SETTINGS_MODULE"):
        environ.pop(name, None)
    return environ
