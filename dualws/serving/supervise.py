"""The parent of ``manage.py superserver``: starts the serving process, again when code changed.

Law: *the parent only supervises.* Django is imported here already, so nothing can be
patched any more; everything that serves happens in a child that prepares its backend
first (:mod:`dualws.serving.dev`). The child lives no longer than the parent.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from dualws.serving.child import interpreter

#: exit code by which the child asks to be started again (Django's convention)
RELOAD = 3
#: environment variable: descriptor that reaches its end when the parent is gone
LIFELINE = "DUALWS_LIFELINE"
#: seconds that a child has to end after a signal before it is killed
PATIENCE = 4.0


class _Stopped(BaseException):
    """A signal asked the parent to end."""


def command(backend: str, program: Sequence[str], *, reload: bool) -> list[str]:
    """Command line of a child that runs *program*, prepared for *backend*.

    :param backend: name of the backend
    :param program: a script, or ``-m`` and a module, with its arguments
    :param reload: the child watches the code and asks for a restart
    """
    mode = ["--reload"] if reload else []
    return [*interpreter(), "-m", "dualws.serving.dev", backend, *mode, "--", *program]


def this_program() -> list[str]:
    """The program that this process runs, as :func:`command` takes it."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None:
        return list(sys.argv)
    return ["-m", spec.name.removesuffix(".__main__"), *sys.argv[1:]]


def replace(backend: str) -> NoReturn:
    """Become the child: for a server that does not reload. Does not return.

    :param backend: name of the backend
    """
    become(command(backend, this_program(), reload=False))


def become(arguments: Sequence[str]) -> NoReturn:
    """Replace this process; its descriptors and its id stay.

    :param arguments: command line, the executable's path first
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(arguments[0], list(arguments))


def supervise(backend: str) -> int:
    """Run the child until it ends for good.

    :param backend: name of the backend
    :return: exit code for the parent: 0 after SIGINT or SIGTERM, otherwise the child's
    """
    arguments = command(backend, this_program(), reload=True)
    child: subprocess.Popen[bytes] | None = None
    alive, lifeline = os.pipe()

    def stop(number: int, frame: FrameType | None) -> None:
        # A second signal must not interrupt the waiting for the child.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise _Stopped

    try:
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, stop)
        environment = {**os.environ, "RUN_MAIN": "true", LIFELINE: str(alive)}
        while True:
            child = subprocess.Popen(arguments, env=environment, pass_fds=(alive,))
            code = child.wait()
            if code not in (RELOAD, -signal.SIGALRM):
                return code if code >= 0 else 128 - code
    except _Stopped:
        if child is not None:
            _end(child)
        return 0
    finally:
        os.close(alive)
        os.close(lifeline)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Stop the child, which Ctrl-C in a terminal has told already."""
    child.terminate()
    try:
        child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
