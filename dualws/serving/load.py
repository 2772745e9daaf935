"""Finds the WSGI application that ``MODULE[:NAME]`` names.

Law: *every way to miss it has its own answer*: no such module, an error inside the
module, a wrong settings module, no such attribute, not a WSGI application, a URLconf that
would fail every request.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import logging
import sys
from typing import Any, cast

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


def check_urls() -> None:
    """Import the project's URLconf, which Django would do at the first request.

    Only where Django has been started, and only ``ROOT_URLCONF``: what middleware chooses for a
    request stays as late as that. A database that does not answer while it is imported is no
    mistake of the project: requests try again.

    :raises ApplicationNotFound: it cannot be imported; every request would fail
    """
    if "django.apps" not in sys.modules:
        return
    from django.apps import apps
    from django.conf import settings
    from django.db import Error, connections

    urls = getattr(settings, "ROOT_URLCONF", None) if apps.ready else None
    if not urls:
        return
    try:
        if isinstance(urls, str):
            # By itself first: its traceback is shorter than that of a resolver.
            importlib.import_module(urls)
        from django.urls import get_resolver

        _visit(get_resolver(urls), set())
    except Error as error:
        logging.getLogger("dualws").warning(
            "The database failed while the URLconf %r was imported, requests try again: %s",
            urls,
            error,
        )
    except Exception as error:
        raise ApplicationNotFound(urls_failure(error)) from error
    finally:
        # As between requests: whoever imports may not be who serves.
        for connection in connections.all(initialized_only=True):
            connection.close()


def urls_failure(error: BaseException) -> str:
    """Why the project's URLconf cannot be used.

    :param error: what importing it raised
    """
    from django.conf import settings

    return (
        f"The URLconf {settings.ROOT_URLCONF!r} cannot be used: importing it raised "
        f"{type(error).__name__}.\n{explain.excerpt(error)}"
    )


def _visit(resolver: Any, seen: set[int]) -> None:
    """Import what *resolver* includes; *seen* has the lists of patterns that are visited."""
    patterns = resolver.url_patterns
    if id(patterns) not in seen:
        seen.add(id(patterns))
        for pattern in patterns:
            if hasattr(pattern, "url_patterns"):
                _visit(pattern, seen)


def _absent(module: str, attribute: str, contents: dict[str, object]) -> str:
    near = _wsgi_beside(module)
    if near is not None:
        return f"The module {module!r} has no {attribute!r}. Did you mean {near}?"
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


def _wsgi_beside(module: str) -> str | None:
    """The module ``wsgi`` of the package *module*, or of the package that *module* is in."""
    for package in dict.fromkeys((module, module.rpartition(".")[0])):
        name = f"{package}.wsgi"
        with contextlib.suppress(ImportError, ValueError):
            if package and name != module and importlib.util.find_spec(name) is not None:
                return name
    return None
