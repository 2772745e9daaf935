"""A server in a process of its own: pinned, asked whether it listens, stopped by its id."""

from __future__ import annotations

import functools
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from dualws.bench import cpu
from dualws.bench.contenders import APPS, HOST, PORT, PYTHON, Contender
from dualws.bench.errors import BenchmarkError

#: Seconds that a server has to listen, and to end.
_START, _STOP = 60.0, 10.0

_VERSIONS = """
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


class ServerProcess:
    """Starts *contender* and returns once it listens.

    :param contender: the server
    :param python: interpreter of its environment
    :param folder: an empty folder to run in
    :param core: core to pin it to
    :param signed_in: a Django site gets its tables and a user with a session
    :raises BenchmarkError: it does not listen; the text has what it printed
    """

    def __init__(
        self,
        contender: Contender,
        python: str,
        folder: Path,
        core: int | None,
        *,
        signed_in: bool = False,
    ) -> None:
        self.contender = contender
        self.port = _free_port()
        self._log = folder / "output"
        words = {PYTHON: python, PORT: str(self.port)}
        command = [words.get(w, w.replace(PORT, str(self.port))) for w in contender.command]
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("DUALWS_", "DJANGO_"))}
        environ.update(
            PYTHONPATH=os.pathsep.join(map(str, (*contender.apps, APPS))),
            BENCHMARK_FOLDER=str(folder),
        )
        if contender.settings:
            environ["DJANGO_SETTINGS_MODULE"] = contender.settings
            if signed_in:
                self._prepare(python, environ)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=functools.partial(cpu.pin, core),
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _prepare(self, python: str, environ: dict[str, str]) -> None:
        done = subprocess.run(
            [python, "-m", "site_prepare"], env=environ, capture_output=True, text=True
        )
        if done.returncode:
            raise BenchmarkError(
                f"{self.contender.name} could not make its tables: {done.stderr.strip()[-1000:]}"
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def _wait(self) -> None:
        end = time.monotonic() + _START
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise BenchmarkError(self.story("ended before it listened"))
            try:
                socket.create_connection((HOST, self.port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise BenchmarkError(self.story(f"did not listen within {_START:g} s"))

    def story(self, what: str) -> str:
        """*what* happened, and the end of what the server printed."""
        output = self._log.read_text(errors="replace").strip()[-2000:]
        return f"{self.contender.name} {what}. It printed:\n{output or '(nothing)'}"

    def stop(self) -> None:
        """End it."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
        return port


def versions(contender: Contender, python: str) -> dict[str, str]:
    """Versions of the distributions that *contender* is about."""
    done = subprocess.run(
        [python, "-c", _VERSIONS, *contender.shown], capture_output=True, text=True, check=True
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found
