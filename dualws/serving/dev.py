"""The child of ``manage.py superserver``: prepares its backend, then runs the project's program.

Law: *an error in the project never ends it.* Whatever the project's code raises is
printed, and the process waits until a file changes; then it ends with code 3 and the
parent starts a new one. Only a signal, the parent's end, or an address that cannot be
listened on end it for good.

Run as ``python -m dualws.serving.dev BACKEND [--reload] -- PROGRAM [ARGS …]``; PROGRAM may
be ``-m MODULE``. The program (``manage.py``) runs as ``__main__`` with its own arguments.
"""

from __future__ import annotations

import _thread
import dataclasses
import functools
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from dualws import bootstrap
from dualws.errors import BackendError, BrokenBackend, ConfigurationError
from dualws.serving.supervise import LIFELINE, RELOAD, become, command

if TYPE_CHECKING:
    from dualws.contract import Backend, Server

#: environment variable: this child was started again by itself, for another backend
_SWITCHED = "DUALWS_SWITCHED"
#: seconds that the server has to end before a reload
_GOODBYE = 1.5


@dataclasses.dataclass
class Child:
    """This process, when it is the child of a superserver.

    :param backend: the backend that it is prepared for
    :param reload: it watches the code
    :param lifeline: descriptor that reaches its end with the parent; None without one
    :param arguments: what follows ``--`` on its command line
    :param switched: it has started itself again, for the backend of the settings
    """

    backend: type[Backend]
    reload: bool
    lifeline: int | None
    arguments: list[str]
    switched: bool


_current: Child | None = None


def current() -> Child | None:
    """The child that this process is, None in any other process."""
    return _current


def main(argv: list[str]) -> int:
    """Prepare the backend and run the program.

    :param argv: arguments without the program's name
    :return: exit code
    """
    global _current
    split = argv.index("--")
    name, reload, arguments = argv[0], "--reload" in argv[1:split], argv[split + 1 :]
    lifeline = _follow_parent()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end_at_once)
    try:
        backend = bootstrap.prepare(name)
    except ConfigurationError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 2
    switched = os.environ.pop(_SWITCHED, None) is not None
    _current = Child(backend, reload, lifeline, arguments, switched)
    as_module = arguments[0] == "-m"
    try:
        bootstrap.run_program(arguments[as_module:], as_module=as_module)
    except Exception as error:
        if not reload:
            raise
        wait_for_change(error)
    return 0


def switch(child: Child, name: str) -> None:
    """Start this process anew for the backend *name*.

    Returns when that was done already: settings may answer differently each time. A
    backend that cannot be used is reported, and waited for, here: the new process could
    not know which files to watch.

    :param child: this process
    :param name: the backend that the settings name now
    """
    if child.switched:
        return
    from dualws import registry

    try:
        registry.load(name)
    except BackendError as error:
        if not child.reload:
            raise
        wait_for_change(error)
    os.environ[_SWITCHED] = "1"
    if child.lifeline is not None:
        os.set_inheritable(child.lifeline, True)
        os.environ[LIFELINE] = str(child.lifeline)
    become(command(name, child.arguments, reload=child.reload))


def run_reloading(serve: Callable[[Callable[[Server], None]], None]) -> NoReturn:
    """Run *serve* in a thread and end with code 3 when code changes, with 0 after a signal.

    Call it in the main thread.

    :param serve: checks the project and serves it; is given a function that it calls with
        the server before that runs
    """
    import socket
    import threading

    from dualws.serving.reloader import Reloader, files_of

    servers: list[Server] = []
    codes: list[int] = []
    # A signal handler may not take locks, but it may write to a socket; and waiting on a
    # socket suits threads and greenlets alike.
    woken, waking = socket.socketpair()
    # Never closed: the other thread may still write to it while this process ends.
    wake = waking.detach()

    def finish(code: int) -> None:
        codes.append(code)
        os.write(wake, b"\0")

    def on_signal(number: int, frame: FrameType | None) -> None:
        finish(0)

    reloader = Reloader()

    def on_made(server: Server) -> None:
        servers.append(server)
        # Whoever sees the server announced may change a file at once.
        reloader.remember()

    def serve_or_report() -> None:
        try:
            serve(on_made)
        except Exception as error:
            reloader.add(files_of(error))
            _print(error)

    def watch() -> None:
        look: Callable[[], None] = functools.partial(reloader.run, thread)
        while True:
            try:
                look()
            except SystemExit:
                finish(RELOAD)
                return
            except Exception as error:
                # A receiver of Django's signals failed, perhaps for the mistake that is
                # about to be repaired: go on without asking it again.
                _print(error)
                look = reloader.run_loop

    thread = threading.Thread(target=serve_or_report, name="django-main-thread", daemon=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    thread.start()
    threading.Thread(target=watch, name="dualws-reloader", daemon=True).start()
    woken.recv(1)
    woken.detach()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if servers:
        servers[0].stop()
        thread.join(_GOODBYE)
    # Threads of the project that are not daemons must not keep the old code alive.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(2)
    sys.exit(codes[0])


def wait_for_change(error: Exception) -> NoReturn:
    """Print what the project raised and end with code 3 once one of its files has changed.

    :param error: what was raised before the project could be served
    """
    from dualws.serving.reloader import RepairReloader, files_of

    reloader = RepairReloader()
    reloader.add(files_of(error))
    _print(error)
    reloader.run_loop()
    sys.exit(RELOAD)


def _print(error: Exception) -> None:
    import traceback

    sys.stdout.flush()
    if isinstance(error, BackendError) and not isinstance(error, BrokenBackend):
        # Its message says everything; only the plugin's own mistake is in a traceback.
        sys.stderr.write(f"Error: {error}\n")
    else:
        traceback.print_exception(error)
    sys.stderr.flush()


def _follow_parent() -> int | None:
    """End this process when the parent is gone, however it went."""
    value = os.environ.pop(LIFELINE, None)
    if value is None:
        return None
    descriptor = int(value)
    os.set_inheritable(descriptor, False)

    def watch(read: Callable[[int, int], bytes], leave: Callable[[int], NoReturn]) -> None:
        read(descriptor, 1)
        leave(1)

    # A native thread, begun before anything is patched: it must not depend on a hub.
    _thread.start_new_thread(watch, (os.read, os._exit))
    return descriptor


def _end_at_once(number: int, frame: FrameType | None) -> NoReturn:
    """Until something is served there is nothing to end in order."""
    os._exit(0)


if __name__ == "__main__":
    # The command imports this module by its name and must find the child there.
    from dualws.serving import dev

    sys.exit(dev.main(sys.argv[1:]))
