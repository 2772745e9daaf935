"""Django's reloader by modification times, without its blind spots.

Law: *a file that is broken is watched from the moment that it was read.* Django notices
a file that failed to import only at its next look, so a repair before that is lost; and
it watches the last file of a traceback, though the mistake may be in another one.

Imports Django, so it is imported only in a prepared process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

from django.utils import autoreload

#: seconds between two looks at the files
INTERVAL = 0.5


class Reloader(autoreload.StatReloader):
    """Ends its thread with ``SystemExit(3)`` when a watched file has changed."""

    def __init__(self) -> None:
        super().__init__()
        self._times: dict[Path, float] = {}

    def remember(self) -> None:
        """Remember how all files that are watched by now are, unless they are remembered."""
        for file, modified in self.snapshot_files():
            self._times.setdefault(file, modified)

    def add(self, files: Iterable[Path]) -> None:
        """Watch *files* too, from now on."""
        # A new set: the reloader's thread may be going through the old one.
        self.extra_files = self.extra_files.union(files)
        self.remember()

    def tick(self) -> Iterator[None]:
        """Look at all files, again and again."""
        while True:
            for file, modified in self.snapshot_files():
                # Older counts too: a file may be put back with its old time.
                if modified != self._times.setdefault(file, modified):
                    self._times[file] = modified
                    self.notify_file_changed(file)
            yield
            time.sleep(INTERVAL)


class RepairReloader(Reloader):
    """For a project whose settings or models cannot be imported: nobody else is asked."""

    def notify_file_changed(self, path: str | os.PathLike[str]) -> None:
        """Reload without the signal, whose receivers may read the broken settings."""
        autoreload.trigger_reload(str(path))


def files_of(error: BaseException) -> list[Path]:
    """Every file that may hold the cause of *error*: all those in its tracebacks."""
    names = []
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, SyntaxError) and cause.filename:
            names.append(cause.filename)
        trace: TracebackType | None = cause.__traceback__
        while trace is not None:
            names.append(trace.tb_frame.f_code.co_filename)
            trace = trace.tb_next
        cause = cause.__cause__ or cause.__context__
    return [Path(name).resolve() for name in names if os.path.isfile(name)]
