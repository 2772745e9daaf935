"""Programs in processes of their own: what they print, how they end.

Law: as for :class:`support.server.LiveServer`, which is for servers that are started well: a
program is stopped by its process id, and all that it prints is kept and shown.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from support.server import Output, end
from support.timing import TIMEOUT

_URL = re.compile(r"http://(\[[^\]]+\]|[^:/\s]+):(\d+)")


def environment(folder: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment of a program that must find nothing but what a test laid out.

    :param folder: gets the caches, so that no stale one is read
    :param more: further variables
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DJANGO_", "DUALWS_BACKEND")) and name != "PYTHONPATH"
    }
    return {
        **kept,
        "XDG_CACHE_HOME": str(folder / "cache"),
        # A file written twice within a second must not be read from the first one's bytecode.
        "PYTHONDONTWRITEBYTECODE": "1",
        **(more or {}),
    }


def python(
    folder: Path, *arguments: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run this interpreter in *folder* to its end."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(folder, env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


class Program:
    """This interpreter, started in *folder* in a process group of its own.

    :param folder: where it runs
    :param arguments: its command line
    :param env: more environment variables
    :param pass_fds: descriptors that it inherits
    """

    def __init__(
        self,
        folder: Path,
        arguments: Sequence[str],
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment(folder, env),
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        end(self.process)
        # A child that outlived its parent would hold the streams open.
        self.stdout.wait_for_end()
        self.stderr.wait_for_end()
        if error is not None:
            sys.stderr.write(self.text())

    def text(self) -> str:
        """All that it printed."""
        return self.stdout.text() + self.stderr.text()

    def url(self, start: int = 0) -> str:
        """The first address that it prints on stdout since line *start*."""
        found = self.stdout.wait_for(_URL, start=start)
        assert found is not None, self.text()
        return found[0]

    def interrupt(self) -> int:
        """Press Ctrl-C: SIGINT to it and to the children it has started; its exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.wait()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send it a signal; its exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end and that of its output; its exit code."""
        code = self.process.wait(TIMEOUT)
        self.stdout.wait_for_end()
        self.stderr.wait_for_end()
        return code
