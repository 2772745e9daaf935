"""Tries whether workers could start now, in a process of its own.

Law: *a mistake in new code must not end what runs*. gunicorn's arbiter tells the old workers to go
before it knows whether new ones can come, and ends when they cannot. So before a reload the
project is imported once elsewhere, prepared as a worker would be.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from dualws import bootstrap
from dualws.errors import ConfigurationError
from dualws.serving import explain
from dualws.serving.child import interpreter

#: Seconds that it may take.
PATIENCE = 60.0

_CHILD = """
import json, sys
question = json.load(sys.stdin)
sys.path[:] = question["path"]
from dualws.serving.rehearsal import main
sys.exit(main(question))
"""


def problem(application: str, options: Mapping[str, Any]) -> str | None:
    """What would keep a worker from starting; None when nothing does.

    :param application: ``MODULE[:NAME]``
    :param options: options by field name; None means not given
    """
    question = {
        "path": list(map(str, sys.path)),
        "application": application,
        "options": {name: value for name, value in options.items() if value is not None},
    }
    try:
        child = subprocess.run(
            [*interpreter(), "-c", _CHILD],
            input=json.dumps(question).encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"importing {application} took more than {PATIENCE:g} s"
    if child.returncode == 0:
        return None
    lines = child.stderr.decode(errors="replace").strip().splitlines()
    return "\n".join(lines[-explain.LINES :]) or f"it ended with code {child.returncode}"


def main(question: dict[str, Any]) -> int:
    """In the child: import what a worker imports; 0 when that succeeds.

    :param question: ``application`` and ``options``, as JSON knows them
    """
    from dualws import conf
    from dualws.serving.load import load_application

    try:
        bootstrap.prepare(bootstrap.choose(None, question["application"]).name)
        load_application(question["application"])
        conf.config_from_django(question["options"])
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0
