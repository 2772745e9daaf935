"""Tries whether workers could start now, in a process of its own.

Law: *a mistake in new code must not end what runs*. gunicorn's arbiter tells the old workers to go
before it knows whether new ones can come, and ends when they cannot. So before a reload the
configuration file is read and the project imported once elsewhere, with its URLconf, prepared as
a worker would be, and a server is made as far as it goes without serving: its certificates are
read, and the addresses of its figures tried.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from dualws import bootstrap
from dualws.errors import ConfigurationError
from dualws.serving import explain
from dualws.serving.child import interpreter

#: Seconds that it may take.
PATIENCE = 60.0
#: Seconds between two looks whether it has ended.
_LOOK = 0.02

_CHILD = """
import json, sys
question = json.load(sys.stdin)
sys.path[:] = question["path"]
from dualws.serving.rehearsal import main
main(question)
"""


def problem(application: str, options: Mapping[str, Any], file: str | None) -> str | None:
    """What would keep a worker from starting; None when nothing does.

    :param application: ``MODULE[:NAME]``
    :param options: options by field name; None means not given
    :param file: gunicorn's configuration file, or None
    """
    question = {
        "path": list(map(str, sys.path)),
        "application": application,
        "options": {name: value for name, value in options.items() if value is not None},
        "file": file,
    }
    # Files, not pipes: to wait for those is a hub's business in a process that gevent has patched.
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as said:
        asked.write(json.dumps(question).encode())
        asked.seek(0)
        code = _run(asked, said)
        if code == 0:
            return None
        if code is None:
            return f"importing {application} took more than {PATIENCE:g} s"
        said.seek(0)
        lines = said.read().decode(errors="replace").strip().splitlines()
    return "\n".join(lines[-explain.LINES :]) or f"it ended with code {code}"


def _run(asked: IO[bytes], said: IO[bytes]) -> int | None:
    """Run the child to its end; its exit code, None when it took too long."""
    child = subprocess.Popen(
        [*interpreter(), "-c", _CHILD], stdin=asked, stdout=subprocess.DEVNULL, stderr=said
    )
    late = time.monotonic() + PATIENCE
    while child.poll() is None:
        if time.monotonic() > late:
            child.kill()
            child.wait()
            return None
        time.sleep(_LOOK)
    return child.returncode


def main(question: dict[str, Any]) -> NoReturn:
    """In the child: do what a worker does before it serves, and end with 0 when that succeeds.

    :param question: ``application``, ``options`` and ``file``, as JSON knows them
    """
    code = 1
    try:
        named = question["file"] is not None
        file = _read(question) if named else None
        if file is not None or not named:
            _rehearse(question["application"], question["options"], file)
            code = 0
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
    except BaseException:
        # sys.exit() of the project too: a worker that ends by it does not serve.
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that the project has started must not keep the answer waiting.
    os._exit(code)


def _read(question: Mapping[str, Any]) -> Any:
    """What gunicorn's configuration file says; None when it cannot be used, which gunicorn told."""
    from dualws.contract import ServerConfig
    from dualws.serving.workers import Workers

    try:
        app = Workers(
            question["application"], question["options"], ServerConfig(), False, question["file"]
        )
    except SystemExit:
        return None
    # As the arbiter does before it starts workers, which parses the addresses first.
    if not app.cfg.address:
        return None
    os.environ.update(app.cfg.env)
    return app.cfg


def _rehearse(application: str, options: Mapping[str, Any], file: Any) -> None:
    """Do as a worker does.

    :param file: what gunicorn's configuration file says; None without
    """
    from dualws import conf
    from dualws.serving import listen
    from dualws.serving.load import check_urls, load_application

    backend = bootstrap.prepare(bootstrap.choose(None, application).name)
    # What is preloaded is imported as the arbiter's user.
    preloaded = file is not None and file.preload_app
    if not preloaded:
        _become_user(file)
    loaded = load_application(application)
    if preloaded:
        _become_user(file)
    check_urls()
    config = conf.config_from_django(options)
    backend().make_server(loaded, config, ())
    if config.metrics_bind:
        importlib.import_module("dualws.observing.prometheus")
        listen.try_addresses(config.metrics_bind)


def _become_user(file: Any) -> None:
    """Be who the workers are: nobody else may listen beside them, or see what they cannot read."""
    if file is not None:
        from gunicorn import util

        util.set_owner_process(file.uid, file.gid, initgroups=file.initgroups)
