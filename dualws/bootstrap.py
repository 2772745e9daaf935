"""Chooses the backend and prepares the process for it.

Law: *nothing that has to be patched is imported before* ``prepare()``. This module and
what it imports leave Django, drivers and server libraries alone; the settings, which
may import anything, are read in a child process.

``dualws serve`` and ``manage.py superserver`` do this by themselves. Any other program
that must run in the backend's world is started through this module::

    python -m dualws.bootstrap [--backend NAME] SCRIPT [ARGS …]
    python -m dualws.bootstrap [--backend NAME] -m MODULE [ARGS …]

for example ``python -m dualws.bootstrap --backend gevent manage.py shell``. The backend
is prepared, then the program runs as ``__main__`` as if it had been started directly.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from dualws.errors import ConfigurationError

if TYPE_CHECKING:
    from dualws.contract import Backend

#: environment variable, and setting, that names the backend
VARIABLE = "DUALWS_BACKEND"
#: the backend when nobody says anything
DEFAULT = "gevent"

_USAGE = "usage: python -m dualws.bootstrap [--backend NAME] (SCRIPT | -m MODULE) [ARGS ...]"

_prepared: type[Backend] | None = None


class Choice(NamedTuple):
    """Which backend, and who said so.

    :param name: name of the backend; not yet known to exist
    :param source: ``option``, ``environment``, ``settings``, ``default``, or ``only``: the
        default's library is not installed, and this is the one backend that can be used
    """

    name: str
    source: str


def choose(option: str | None, application: str | None) -> Choice:
    """Choose the backend: option, then environment, then settings, then :func:`default`.

    The settings are asked last because that costs a child process: it imports them, and
    this process stays clean.

    :param option: value of ``--backend``, None or empty when absent
    :param application: ``MODULE[:NAME]`` of the WSGI application; its module is imported in
        the child up to the point where it starts Django, when DJANGO_SETTINGS_MODULE
        does not name the settings. None: only that variable is looked at
    :raises ConfigurationError: the settings cannot be imported, or DUALWS_BACKEND in them
        is not a name
    """
    choice = choose_without_settings(option)
    if choice is not None:
        return choice
    if application is None and not os.environ.get("DJANGO_SETTINGS_MODULE"):
        return default()
    from dualws.serving.probe import probe_backend

    return choose_from_settings(probe_backend(application))


def choose_without_settings(option: str | None) -> Choice | None:
    """The choice when an option or the environment makes it, otherwise None.

    :param option: value of ``--backend``, None or empty when absent
    """
    if option:
        return Choice(option, "option")
    variable = os.environ.get(VARIABLE)
    return Choice(variable, "environment") if variable else None


def choose_from_settings(value: object) -> Choice:
    """The choice that the settings make.

    :param value: ``settings.DUALWS_BACKEND``; None when it is not set
    :raises ConfigurationError: *value* is not a name
    """
    if value is None:
        return default()
    if not isinstance(value, str) or not value:
        raise ConfigurationError(
            f"DUALWS_BACKEND in the settings is {value!r}. It must be the name of a backend, "
            f'for example DUALWS_BACKEND = "gevent"'
        )
    return Choice(value, "settings")


def default() -> Choice:
    """The choice when nobody says anything: ``gevent``, or the only backend that can be used.

    Plugins are imported to find that one only where gevent is absent, so where nothing of
    what they import could have to be patched for it.
    """
    if find_spec(DEFAULT) is None:
        from dualws import registry

        usable = [found.name for found in registry.describe() if found.state == "installed"]
        if len(usable) == 1:
            return Choice(usable[0], "only")
    return Choice(DEFAULT, "default")


def announce(choice: Choice) -> None:
    """Say on stderr that the only backend that can be used was chosen; otherwise nothing."""
    if choice.source == "only":
        sys.stderr.write(
            f"The default backend {DEFAULT!r} is not installed: using {choice.name!r}, the only "
            f"one that is. To choose it for good: {VARIABLE}={choice.name}\n"
        )


def prepare(name: str) -> type[Backend]:
    """Load the backend *name* and prepare this process for it, once.

    Call it before Django and any driver is imported. A second call with the same name
    returns the same class and does nothing.

    :param name: name of the backend
    :raises ConfigurationError: the process is prepared for another backend already
    :raises BackendError: the backend cannot be used; see :func:`dualws.registry.load`
    :raises PreparedTooLate: something that had to come later is already imported
    """
    global _prepared
    from dualws import heap, registry

    if _prepared is not None:
        if _prepared.name == name:
            return _prepared
        raise ConfigurationError(
            f"This process is prepared for the backend {_prepared.name!r} and cannot become "
            f"{name!r}: what has been patched stays patched. Start a new process"
        )
    backend = registry.load(name)
    try:
        backend.prepare()
    except ModuleNotFoundError as error:
        raise registry.failure(name, error) from error
    heap.keep_freed()
    _prepared = backend
    return backend


def prepared() -> type[Backend] | None:
    """The backend that this process is prepared for, if any."""
    return _prepared


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare the process, then run a script or module as ``__main__``.

    :param argv: arguments, default ``sys.argv[1:]``
    :return: exit code when the program could not be started: 2
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    option = None
    if arguments[:1] == ["--backend"]:
        option, arguments = "".join(arguments[1:2]), arguments[2:]
    elif arguments and arguments[0].startswith("--backend="):
        option, arguments = arguments[0].partition("=")[2], arguments[1:]
    as_module = arguments[:1] == ["-m"]
    if as_module:
        del arguments[0]
    if option == "" or not arguments or arguments[0].startswith("-"):
        sys.stderr.write(_USAGE + "\n")
        return 2
    try:
        choice = choose(option, None)
        announce(choice)
        prepare(choice.name)
    except ConfigurationError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 2
    run_program(arguments, as_module=as_module)
    return 0


def run_program(arguments: Sequence[str], *, as_module: bool) -> None:
    """Run a program in this process as ``python`` itself would.

    :param arguments: script or module, then its arguments: the program's ``sys.argv``
    :param as_module: the first of *arguments* is a module, not a script
    """
    import runpy

    sys.argv[:] = arguments
    if as_module:
        sys.path[0] = os.getcwd()
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    else:
        # ``python -m dualws.bootstrap`` put the current folder first, a script has its own there.
        sys.path[0] = os.path.dirname(os.path.abspath(arguments[0]))
        runpy.run_path(arguments[0], run_name="__main__")


__all__ = [
    "Choice",
    "announce",
    "choose",
    "choose_from_settings",
    "choose_without_settings",
    "default",
    "main",
    "prepare",
    "prepared",
    "run_program",
]

if __name__ == "__main__":
    # The module that the program imports must be the one that did the preparing.
    from dualws import bootstrap

    sys.exit(bootstrap.main())
