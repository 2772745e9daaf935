"""Prepares a process at the moment when it begins to import the project.

Law: *not before it is needed, and not a module too late*. gunicorn's arbiter imports the project
only when it is told to preload it, and does not say so to the worker class. So a finder waits
on ``sys.meta_path`` for the first module that a backend may have to come before.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from dualws import bootstrap

#: Packages that a project imports and gunicorn's arbiter does not.
_PROJECTS = frozenset({"asgiref", "django", "MySQLdb", "psycopg", "psycopg2", "urllib3"})


class PrepareAtImport(MetaPathFinder):
    """Calls :func:`dualws.bootstrap.prepare` before the first of :data:`_PROJECTS` is imported.

    :param choose: says the backend's name
    """

    def __init__(self, choose: Callable[[], str]) -> None:
        self._choose = choose

    @classmethod
    def install(cls, choose: Callable[[], str]) -> None:
        """Wait for the project, unless this process is prepared or waits already."""
        if bootstrap.prepared() is None:
            cls.remove()
            sys.meta_path.insert(0, cls(choose))

    @classmethod
    def remove(cls) -> None:
        """Wait no more."""
        sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, cls)]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Prepare, once; never finds anything itself."""
        if fullname.partition(".")[0] in _PROJECTS:
            self.remove()
            bootstrap.prepare(self._choose()).before_fork()
        return None
