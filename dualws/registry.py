"""Finds backends by name: the only module that knows stevedore.

Law: *looking is free, loading is explicit.* ``names()`` reads the metadata of installed
distributions and imports no plugin. ``load()`` imports the one plugin that was asked
for and either returns a usable class or raises one of the five errors of
:class:`dualws.errors.BackendError`, each with its cure.

A plugin is an entry point in the group ``dualws.backends`` that names a subclass of
:class:`dualws.contract.Backend`::

    [project.entry-points."dualws.backends"]
    mine = "my_package.backend:MyBackend"
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib.metadata
import importlib.util
import inspect
import re
from typing import Any, NoReturn

from stevedore.driver import DriverManager
from stevedore.named import NamedExtensionManager

from dualws import __version__
from dualws.contract import CONTRACT_VERSION, Backend
from dualws.errors import (
    AmbiguousBackend,
    BackendError,
    BrokenBackend,
    IncompatibleBackend,
    MissingLibrary,
    UnknownBackend,
)

#: entry-point group of the backends
GROUP = "dualws.backends"

_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")


@dataclasses.dataclass(frozen=True, slots=True)
class Description:
    """One line of ``dualws backends``.

    :param name: name of the entry point
    :param state: ``installed``, ``missing library``, ``broken``, ``incompatible`` or ``ambiguous``
    :param version: the library that carries it and its version; empty unless installed
    :param summary: the backend's own line about itself; empty unless installed
    :param cure: what to do about it; empty when installed
    """

    name: str
    state: str
    version: str = ""
    summary: str = ""
    cure: str = ""


def names() -> list[str]:
    """Names of all installed plugins, sorted; imports none of them."""
    return sorted(set(_all_names()))


def usable_names() -> list[str]:
    """:func:`names` without those whose :func:`missing` library is known; imports none."""
    return [name for name in names() if missing(name) is None]


def missing(name: str) -> str | None:
    """The command that installs the library of the backend *name*, when it is known to be absent.

    Known without an import: the library of the same name that the plugin's distribution requires
    in an extra of that name. What else it may lack :func:`load` tells.
    """
    command = _requirements(name).get(_normalised(name))
    if command is None or f"[{name}]" not in command or _is_importable(name):
        return None
    return command


def load(name: str) -> type[Backend]:
    """Import the backend *name*.

    :param name: name of an entry point in the group ``dualws.backends``
    :raises UnknownBackend: no plugin has this name
    :raises AmbiguousBackend: several distributions offer it
    :raises MissingLibrary: the plugin is there, the library it runs on is not
    :raises BrokenBackend: the plugin failed in another way; ``__cause__`` is how
    :raises IncompatibleBackend: it was written for another version of the contract
    """
    found = _all_names().count(name)
    if not found:
        _raise_unknown(name)
    if found > 1:
        offers = " and ".join(sorted(f"{_origin(ep)} ({ep.value})" for ep in _entry_points(name)))
        raise AmbiguousBackend(
            f"Two installed distributions offer a backend {name!r}: {offers}. "
            f"Uninstall the one that you do not want: pip uninstall DISTRIBUTION"
        )
    try:
        manager: DriverManager[Any] = DriverManager(GROUP, name)
        plugin = manager.driver
    except (Exception, SystemExit) as error:
        raise failure(name, error) from error
    return _checked(name, plugin)


def failure(name: str, error: BaseException) -> BackendError:
    """The error that explains why the backend *name* failed with *error*.

    :param name: name of an installed plugin
    :param error: what it raised while it was imported or prepared
    :return: a :class:`MissingLibrary` when *error* says that a library which the plugin's
        distribution requires is absent, otherwise a :class:`BrokenBackend`
    """
    origin = next((_origin(ep) for ep in _entry_points(name)), "an unknown distribution")
    if isinstance(error, ModuleNotFoundError) and error.name:
        library = error.name.partition(".")[0]
        command = _requirements(name).get(_normalised(library))
        if command is not None and not _is_importable(library):
            return MissingLibrary(
                f"The backend {name!r} needs the library {library!r}, which is not installed. "
                f"Install it: {command}"
            )
    return BrokenBackend(
        f"The backend {name!r} of {origin} cannot be used: {type(error).__name__}: {error}. "
        f"Its code is at fault: reinstall or upgrade {origin}, or report it to its authors"
    )


def describe() -> list[Description]:
    """Try every plugin and tell in which state it is; imports all of them, prepares none."""
    return [_describe(name) for name in names()]


def _describe(name: str) -> Description:
    states = {
        MissingLibrary: "missing library",
        IncompatibleBackend: "incompatible",
        AmbiguousBackend: "ambiguous",
    }
    try:
        backend = load(name)
        try:
            version = backend.versions()
        except Exception as error:
            raise failure(name, error) from error
    except BackendError as error:
        return Description(name, states.get(type(error), "broken"), cure=str(error))
    return Description(name, "installed", version, backend.summary)


def _all_names() -> list[str]:
    """The names of all entry points, a name as often as distributions differ about it."""
    manager: NamedExtensionManager[Any] = NamedExtensionManager(GROUP, [])
    return manager.entry_points_names()


def _entry_points(name: str) -> list[importlib.metadata.EntryPoint]:
    """The entry points with their distributions, which stevedore's cache leaves out."""
    return list(importlib.metadata.entry_points(group=GROUP, name=name))


def _origin(entry_point: importlib.metadata.EntryPoint) -> str:
    dist = entry_point.dist
    return f"{dist.name} {dist.version}" if dist is not None else entry_point.value


def _checked(name: str, plugin: object) -> type[Backend]:
    """*plugin* when it is a backend for this version of the contract."""
    version = getattr(plugin, "contract_version", None)
    origin = next((_origin(ep) for ep in _entry_points(name)), "its distribution")
    if not (isinstance(plugin, type) and issubclass(plugin, Backend)):
        raise BrokenBackend(
            f"The backend {name!r} of {origin} leads to {plugin!r}, which is not a subclass of "
            f"dualws.contract.Backend. Its entry point must name such a class"
        )
    if not isinstance(version, int) or version != CONTRACT_VERSION:
        older = isinstance(version, int) and version > CONTRACT_VERSION
        side = "dualws: pip install --upgrade dualws" if older else f"{origin.split()[0]}"
        raise IncompatibleBackend(
            f"The backend {name!r} of {origin} is written for version {version} of the contract, "
            f"dualws {__version__} has version {CONTRACT_VERSION}. Upgrade {side}"
        )
    if inspect.isabstract(plugin):
        missing = ", ".join(sorted(plugin.__abstractmethods__))
        raise BrokenBackend(
            f"The backend {name!r} of {origin} is not complete: {plugin.__name__} lacks {missing}"
        )
    return plugin


def _raise_unknown(name: str) -> NoReturn:
    near = difflib.get_close_matches(name, names(), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(usable_names()) or "none"
    raise UnknownBackend(
        f"There is no backend {name!r}.{hint} Installed backends: {listed}. "
        f"A backend of another distribution must be installed in this environment first"
    )


def _requirements(name: str) -> dict[str, str]:
    """Libraries that the plugin's distribution requires, each with the command that installs it.

    One that belongs to an extra is installed by that extra, so that its version fits.
    """
    commands: dict[str, str] = {}
    for entry_point in _entry_points(name):
        dist = entry_point.dist
        for requirement in (dist.requires if dist is not None else None) or ():
            match = re.match(r"[A-Za-z0-9._-]+", requirement)
            extra = _EXTRA.search(requirement)
            if match and dist is not None:
                target = f"{dist.name}[{extra[1]}]" if extra else requirement.partition(";")[0]
                key = _normalised(match[0])
                if key not in commands or (extra and extra[1] == name):
                    commands[key] = f'pip install "{target.strip()}"'
    return commands


def _normalised(name: str) -> str:
    """A distribution's name in the one form that packaging tools compare."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
