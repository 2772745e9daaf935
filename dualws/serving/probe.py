"""Reads settings in a child process.

Law: *what the settings import stays in the child.* They may compute the backend's name
with any library, and none of those may reach the serving process before it is patched.
The child has the same interpreter, folder and import path, and answers with one JSON
object on a descriptor of its own, so the settings may print what they like.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, NoReturn

from dualws import bootstrap
from dualws.errors import ApplicationNotFound, BackendError, ConfigurationError
from dualws.serving import explain
from dualws.serving.child import interpreter

#: the import path comes first, so that the child finds what this process finds
_CHILD = """
import json, sys
question = json.load(sys.stdin)
sys.path[:] = question["path"]
from dualws.serving.probe import main
main(question)
"""


def probe_backend(application: str | None) -> object:
    """``settings.DUALWS_BACKEND``, as a child process sees it; None when it is not set.

    As :func:`probe_settings`.
    """
    return probe_settings(application).get(bootstrap.VARIABLE)


def probe_settings(
    application: str | None, *, loading: bool = False, option: str | None = None
) -> dict[str, Any]:
    """The ``DUALWS_`` settings whose values JSON can express, as a child process sees them.

    :param application: ``MODULE[:NAME]``, used when DJANGO_SETTINGS_MODULE is not set; None
        to look at that variable only
    :param loading: the child loads the backend too, so that one that cannot be is known
    :param option: value of ``--backend``, which counts before the settings then
    :raises ApplicationNotFound: the application's module cannot be imported
    :raises BackendError: the backend cannot be loaded
    :raises ConfigurationError: the settings cannot be imported
    """
    question = {
        "path": list(map(str, sys.path)),
        "module": (application or "").partition(":")[0],
        "loading": loading,
        "option": option,
    }
    child = subprocess.run(
        [*interpreter(), "-c", _CHILD],
        input=json.dumps(question).encode(),
        capture_output=True,
        check=False,
    )
    try:
        answer: dict[str, Any] = json.loads(child.stdout)
    except ValueError:
        lines = child.stderr.decode(errors="replace").strip().splitlines()
        raise ConfigurationError(
            "The settings could not be read: the process that imports them ended with code "
            f"{child.returncode}.\n" + "\n".join(lines[-explain.LINES :])
        ) from None
    if "application" in answer:
        raise ApplicationNotFound(answer["application"])
    if "backend" in answer:
        raise BackendError(answer["backend"])
    if "settings" in answer:
        raise ConfigurationError(answer["settings"])
    values: dict[str, Any] = answer["values"]
    return values


class _Stop(BaseException):
    """The application's module starts Django: enough of it has run."""


def _stop(*args: object, **kwargs: object) -> NoReturn:
    raise _Stop


def _answer(module: str) -> dict[str, object]:
    """In the child: what is said, or what went wrong."""
    import django
    import django.core.wsgi
    from django.conf import settings

    from dualws import conf

    if not os.environ.get("DJANGO_SETTINGS_MODULE"):
        django.setup = django.core.wsgi.get_wsgi_application = _stop
        try:
            __import__(module)
        except _Stop:
            pass
        except Exception as error:
            return {"application": explain.import_failure(module, error)}
    if not settings.configured and not os.environ.get("DJANGO_SETTINGS_MODULE"):
        return {"values": {}}
    try:
        value = getattr(settings, bootstrap.VARIABLE, None)
        bootstrap.choose_from_settings(value)
        given = conf.given_settings(settings)
        return {"values": {name: value for name, value in given.items() if _is_json(value)}}
    except ConfigurationError as error:
        return {"settings": str(error)}
    except Exception as error:
        return {"settings": explain.settings_failure(error)}


def _is_json(value: object) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _loaded(values: dict[str, Any], option: str | None) -> dict[str, object]:
    """In the child: the answer with *values* when the backend can be loaded, or why it cannot."""
    from dualws import registry

    named = values.get(bootstrap.VARIABLE)
    choice = bootstrap.choose_without_settings(option) or bootstrap.choose_from_settings(named)
    try:
        registry.load(choice.name)
    except BackendError as error:
        return {"backend": str(error)}
    return {"values": values}


def main(question: dict[str, Any]) -> NoReturn:
    """In the child: answer *question* on standard output and end.

    :param question: ``module``: the application's module, or an empty string; ``loading``: whether
        to load the backend; ``option``: value of ``--backend``
    """
    # Whatever the settings print goes to stderr; the answer has stdout for itself.
    answer_to = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    answer: dict[str, Any] = _answer(question["module"])
    if question["loading"] and "values" in answer:
        answer = _loaded(answer["values"], question["option"])
    with answer_to:
        json.dump(answer, answer_to)
    sys.stderr.flush()
    # Threads that the settings started must not keep the answer waiting.
    os._exit(0)
