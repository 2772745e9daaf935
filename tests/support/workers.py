"""Servers of several processes, started as users start them: ``dualws serve``, or ``gunicorn -k``.

Law: as for :class:`support.server.LiveServer`. Signals go to the arbiter, or to a worker by its own
process id; workers that outlive a killed arbiter are ended by theirs.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.raw import RawClient, Response
from support.server import WARNINGS, Output, end, server_environment
from support.timing import TIMEOUT, eventually

APPLICATION = "support.draining_site"

_LISTENING = re.compile(r"Listening at: http://([\d.]+):(\d+)")


class Fleet:
    """An arbiter with its workers.

    :param folder: where it runs
    :param backend: name of the backend
    :param workers: how many
    :param runner: ``dualws`` or ``gunicorn``
    :param config: text of gunicorn's configuration file
    :param options: more words for the command
    :param env: more environment variables
    :param log: the error log, where *config* sends it to a file
    :param launcher: words that come before the command, for the interpreter
    """

    def __init__(
        self,
        folder: Path,
        backend: str,
        *,
        workers: int = 2,
        runner: str = "dualws",
        application: str = APPLICATION,
        config: str = "",
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        launcher: Sequence[str] = (),
        bind: str | None = "127.0.0.1:0",
        log: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        (folder / "gunicorn.conf.py").write_text(config)
        words = [
            sys.executable,
            *(word for rule in WARNINGS for word in ("-W", rule)),
            *launcher,
        ]
        if runner == "dualws":
            words += ["-m", "dualws.serving.cli", "serve", application, "--backend", backend]
            words += ["--workers", str(workers), "--config", "gunicorn.conf.py"]
        else:
            # Its script: with -m it starts itself again (USR2) among its own modules.
            words += [str(Path(sys.executable).with_name("gunicorn"))]
            words += ["-k", "dualws.serving.gunicorn.Worker", application]
            words += ["-w", str(workers), "-c", "gunicorn.conf.py", "--no-control-socket"]
        if bind:
            words += ["--bind", bind]
        environ = {
            "PYTHONDONTWRITEBYTECODE": "1",
            **({} if runner == "dualws" else {"DUALWS_BACKEND": backend}),
            **(env or {}),
        }
        self.folder = folder
        self.process = subprocess.Popen(
            [*words, *options],
            cwd=folder,
            env=server_environment(folder, environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pass_fds=pass_fds,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.stdout = Output(self.process.stdout)
        self.stderr = Output(self.process.stderr)
        self._seen: set[int] = set()
        try:
            self.address = self._announced(log)
            self.wait_for_workers(workers)
        except BaseException as error:
            self.stop()
            error.add_note(self.text())
            raise

    def _announced(self, log: Path | None) -> tuple[str, int]:
        """Wait until it listens; where."""
        if log is None:
            found = self.stderr.wait_for(_LISTENING)
        else:
            eventually(lambda: log.exists() and "Listening" in log.read_text(), what="no log")
            found = _LISTENING.search(log.read_text())
        assert found is not None, "it does not listen"
        return found[1], int(found[2])

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.stop()
        if error is not None:
            sys.stderr.write(self.text())

    # -- as LiveServer -------------------------------------------------------------

    @property
    def netloc(self) -> str:
        """``HOST:PORT``."""
        return f"{self.address[0]}:{self.address[1]}"

    def connect(self) -> RawClient:
        """A new connection."""
        return RawClient(self.address)

    def get(self, path: str) -> Response:
        """One GET on a connection of its own."""
        with self.connect() as client:
            client.send_request("GET", path, ("Host", self.netloc), ("Connection", "close"))
            return client.read_response()

    def text(self) -> str:
        """All that it printed."""
        return self.stdout.text() + self.stderr.text()

    # -- processes -----------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The arbiter's process id."""
        return self.process.pid

    def workers(self, arbiter: int | None = None) -> set[int]:
        """The living workers' process ids, those that are about to end included."""
        found = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        rows = [line.split() for line in found]
        parent = str(arbiter or self.pid)
        pids = {int(pid) for pid, ppid, stat in rows if ppid == parent and stat[0] != "Z"}
        self._seen |= pids
        return pids

    def wait_for_workers(self, count: int) -> set[int]:
        """Wait until so many serve; their process ids."""
        eventually(lambda: len(self.workers()) == count, what=f"not {count} workers")
        return self.workers()

    def wait_for_others(self, old: set[int], count: int = 1) -> set[int]:
        """Wait until *count* workers run that are not among *old*; all of those."""
        eventually(lambda: len(self.workers() - old) >= count, what="no other worker")
        return self.workers() - old

    def signal(self, number: int, pid: int | None = None) -> None:
        """Send a signal to the arbiter, or to one worker."""
        os.kill(pid or self.pid, number)

    def wait(self) -> int:
        """Wait for the arbiter's end; its exit code."""
        return self.process.wait(TIMEOUT)

    def stop(self) -> None:
        """End it, and what has outlived it."""
        if self.process.poll() is None:
            self.workers()
        end(self.process, signal.SIGQUIT)
        for pid in self._seen & self._group():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.stdout.wait_for_end()
        self.stderr.wait_for_end()

    def _group(self) -> set[int]:
        """Processes of the session that the arbiter began: a number may be another's by now."""
        found = subprocess.run(
            ["ps", "-A", "-o", "pid=,pgid="], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        rows = [line.split() for line in found]
        return {int(pid) for pid, group in rows if group == str(self.pid)}
