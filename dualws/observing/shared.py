"""Several workers' figures in one folder, so that any of them can answer for all.

Law: *no worker waits for another*. Each writes its own figures down now and then, and holds a
lock on a file of its own for as long as it lives: the system gives that lock back however
the worker ends. What the ended ones had counted is kept in one sum, or figures would
get less when a worker goes.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dualws.observing.figures import Figures

#: Environment variable in which the parent of the workers names their folder.
VARIABLE = "DUALWS_WORKERS_FIGURES"
#: Sum of the ended workers.
_ENDED = "ended.json"


def name_folder() -> str:
    """Name a folder for the workers that this process is going to start, in their environment.

    Called in the parent, before it forks. A folder that the parent of a binary upgrade has
    named is kept. It is made by the first worker that has figures, and removed at this
    process's end, unless workers still live.
    """
    folder = os.environ.get(VARIABLE)
    if not folder:
        name = f"dualws-figures-{os.getpid()}-{secrets.token_hex(8)}"
        folder = os.environ[VARIABLE] = os.path.join(tempfile.gettempdir(), name)
    if folder not in _named:
        _named.add(folder)
        atexit.register(_remove, folder, os.getpid())
    return folder


#: Folders that this process removes at its end.
_named: set[str] = set()


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner and not any(_alive(lock) for lock in Path(folder).glob("*.lock")):
        shutil.rmtree(folder, ignore_errors=True)


def _alive(lock: Path) -> bool:
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


class Shared:
    """One worker's place in the folder.

    :param folder: the folder; made when it is not there
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A file without its lock would be taken for that of an ended worker, and removed.
        with self._locked():
            # Not the process id alone: it may be that of an ended worker.
            descriptor, name = tempfile.mkstemp(".lock", f"{os.getpid()}-", folder)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        self._descriptor = descriptor
        self._mine = Path(name)
        self._left = False

    def write(self, figures: Figures) -> None:
        """Write this worker's figures down."""
        # Or who cleans temporary folders takes the lock for a file that nobody wants any more.
        os.utime(self._descriptor)
        _write(self._mine.with_suffix(".json"), figures.as_dict())

    def others(self) -> Figures:
        """The sum of all other workers': the live ones', and what the ended ones have counted.

        Once this one has left, it is among the ended ones, and changes nothing: its process may
        end at any point.
        """
        total = Figures()
        with self._locked():
            ended = Figures(**_read(self._folder / _ENDED))
            for lock in self._folder.glob("*.lock"):
                if lock == self._mine and not self._left:
                    continue
                written = lock.with_suffix(".json")
                # First: its last figures are written before it lets go of the lock.
                alive = _alive(lock)
                figures = Figures(**_read(written))
                if alive:
                    total.add(figures)
                    continue
                ended.add(figures, gauges=False)
                if self._left:
                    continue
                # The sum first: a worker that is killed here is counted twice at worst.
                _write(self._folder / _ENDED, ended.as_dict())
                written.unlink(missing_ok=True)
                lock.unlink(missing_ok=True)
        total.add(ended, gauges=False)
        return total

    def leave(self, figures: Figures) -> None:
        """This worker ends: leave its last figures behind."""
        try:
            self.write(figures)
        finally:
            self._left = True
            os.close(self._descriptor)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One worker at a time adds up."""
        with (self._folder / "sum").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    return found


def _write(path: Path, what: dict[str, Any]) -> None:
    """Replace *path*: a reader sees the old or the new, never a part."""
    part = path.with_suffix(".new")
    part.write_text(json.dumps(what))
    part.replace(path)
