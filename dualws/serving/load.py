"""Finds the WSGI application that ``MODULE[:NAME]`` names.

Law: *every way to miss it has its own answer*: no such module, an error inside the
module, a wrong settings module, no such attribute, not a WSGI application.
"""

from __future__ import annotations

import importlib
import inspect
from typing import cast

from dualws.contract import WSGIApplication
from dualws.errors import ApplicationNotFound
from dualws.serving import explain


def load_application(name: str) -> WSGIApplication:
    """Import the WSGI application.

    :param name: ``MODULE`` or ``MODULE:NAME``; NAME is ``application`` by default
    :raises ApplicationNotFound: it cannot be imported, is absent, or is not a WSGI
        application; the message shows the project's own traceback lines
    """
    module_name, _, attribute = name.partition(":")
    attribute = attribute or "application"
    if not module_name or module_name.startswith("."):
        raise ApplicationNotFound(
            f"{name!r} names no application. Write MODULE or MODULE:NAME, "
            f"for example mysite.wsgi or mysite.wsgi:application"
        )
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise ApplicationNotFound(explain.import_failure(module_name, error)) from error
    target: object = module
    for part in attribute.split("."):
        try:
            target = getattr(target, part)
        except AttributeError:
            raise ApplicationNotFound(_absent(module_name, attribute, vars(module))) from None
    if not callable(target):
        raise ApplicationNotFound(
            f"{module_name}:{attribute} is {target!r}, which cannot be called. "
            f"A WSGI application is a callable that takes environ and start_response"
        )
    if inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(type(target).__call__):
        raise ApplicationNotFound(
            f"{module_name}:{attribute} is an ASGI application. dualws serves WSGI; "
            f"a Django project has its WSGI application in wsgi.py, beside asgi.py"
        )
    return cast(WSGIApplication, target)


def _absent(module: str, attribute: str, contents: dict[str, object]) -> str:
    candidates = [
        key
        for key, value in contents.items()
        if callable(value) and not key.startswith("_") and not isinstance(value, type)
    ]
    known = f" Callables in it: {', '.join(sorted(candidates)[:8])}." if candidates else ""
    return (
        f"The module {module!r} has no {attribute!r}.{known} "
        f"Name the application after a colon: {module}:NAME"
    )
