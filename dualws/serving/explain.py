"""Turns an exception of the project's code into one message that shows where to look.

Law: *the user's frames only.* What import machinery and dualws itself add to a traceback
says nothing to the person who has to repair the project. Imports nothing that a
backend would have to patch.
"""

from __future__ import annotations

import os
import traceback

#: most lines of a traceback that a message shows
LINES = 16

_SETTINGS_VARIABLE = "DJANGO_SETTINGS_MODULE"


def import_failure(module: str, error: BaseException) -> str:
    """Why *module*, which holds the application, could not be imported.

    :param module: dotted name that was asked for
    :param error: what the import raised
    """
    settings = os.environ.get(_SETTINGS_VARIABLE, "")
    if is_absent(module, error):
        if "/" in module or module.endswith(".py"):
            dotted = module.removesuffix(".py").strip("./").replace("/", ".")
            cure = f"Give a module, not a file: {dotted}"
        else:
            cure = (
                "Start it in the folder that holds the project (where manage.py is), "
                "or name that folder with --chdir"
            )
        name = error.name if isinstance(error, ModuleNotFoundError) and error.name else module
        return f"There is no module {name!r} in {os.getcwd()} or on the import path. {cure}"
    if settings and is_absent(settings, error):
        return settings_failure(error)
    return (
        f"The application {module!r} cannot be imported: it raised {type(error).__name__}.\n"
        f"{excerpt(error)}"
    )


def settings_failure(error: BaseException) -> str:
    """Why the settings could not be imported.

    :param error: what reading a setting raised
    """
    settings = os.environ.get(_SETTINGS_VARIABLE, "")
    if settings and is_absent(settings, error):
        return (
            f"The settings module {settings!r} does not exist. The environment variable "
            f"{_SETTINGS_VARIABLE} (often set in wsgi.py) names it: correct it, or start in "
            f"the folder that holds it"
        )
    return (
        f"The settings {settings!r} cannot be used: reading them raised {type(error).__name__}.\n"
        f"{excerpt(error)}"
    )


def is_absent(module: str, error: BaseException) -> bool:
    """Whether *error* says that *module* or a package around it does not exist.

    A module that is missed by the code inside *module* is another matter.
    """
    return (
        isinstance(error, ModuleNotFoundError)
        and error.name is not None
        and (module == error.name or module.startswith(error.name + "."))
    )


def excerpt(error: BaseException) -> str:
    """The last lines of *error*'s traceback, from the first frame outside the machinery."""
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
    frames = traceback.extract_tb(error.__traceback__)
    kept = [
        frame
        for frame in frames
        if not frame.filename.startswith((own, "<frozen "))
        and not frame.filename.endswith(f"{os.sep}importlib{os.sep}__init__.py")
    ]
    lines = traceback.format_list(kept) + traceback.format_exception_only(error)
    return "\n".join("".join(lines).rstrip().splitlines()[-LINES:])
