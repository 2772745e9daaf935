"""Reads what ``support.project.draining`` has written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.timing import eventually


class Diary:
    """What happened in the processes of one server.

    :param folder: the server's folder
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "diary"

    def entries(self) -> list[list[Any]]:
        """Each a process id, and what happened."""
        if not self._path.exists():
            return []
        return [json.loads(line) for line in self._path.read_text().splitlines()]

    def told(self, what: str) -> list[list[Any]]:
        """What was said of *what*, without the processes."""
        return [entry[2:] for entry in self.entries() if entry[1] == what]

    def wait_for(self, what: str, count: int = 1) -> None:
        """Wait until *what* has happened so many times."""
        eventually(lambda: len(self.told(what)) >= count, what=f"not {count} times {what!r}")
