"""``dualws serve --workers N``: several processes under gunicorn's arbiter.

Law: *the arbiter serves nothing and imports nothing of the project*. It listens, starts workers
(:class:`dualws.serving.gunicorn.Worker`), replaces those that end, and passes signals on. What it
must know of the settings it asks a child process for.

What gunicorn's arbiter does not do, this one does: it tells systemd when it reloads and stops,
and it starts a successor for a worker that has served its ``max_requests`` while that is still
closing its websockets.
"""

from __future__ import annotations

import math
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from gunicorn import sock as gunicorn_sock
from gunicorn import systemd
from gunicorn.app.base import Application
from gunicorn.arbiter import Arbiter
from gunicorn.errors import AppImportError, HaltServer

from dualws import bootstrap, conf
from dualws.contract import ServerConfig, WSGIApplication
from dualws.errors import AddressUnavailable, ApplicationNotFound
from dualws.serving import listen, rehearsal, unix
from dualws.serving.probe import probe_settings

_WORKER = "dualws.serving.gunicorn.Worker"
#: gunicorn's wrappers of listening sockets
_KINDS = {
    socket.AF_INET: gunicorn_sock.TCPSocket,
    socket.AF_INET6: gunicorn_sock.TCP6Socket,
    socket.AF_UNIX: gunicorn_sock.UnixSocket,
}
#: Seconds that a worker gets beyond the window and the close timeout.
_SPARE = 5


class Workers(Application):
    """gunicorn's application: its configuration, and what the workers serve.

    :param application: ``MODULE[:NAME]``
    :param options: options by field name, for the workers; None where not given
    :param config: what options and settings say
    :param binds: whether they say where to listen, whatever *file* says
    :param file: gunicorn's configuration file, or None
    """

    def __init__(
        self,
        application: str,
        options: Mapping[str, Any],
        config: ServerConfig,
        binds: bool,
        file: str | None,
    ) -> None:
        self.app_uri = application
        self.options = dict(options)
        self._config = config
        #: gunicorn's configuration file, or None
        self.file = file
        self._binds = binds
        super().__init__(prog="dualws")

    def load_config(self) -> None:
        """Our defaults, then the file, then what options and settings say."""
        config, set_ = self._config, self.cfg.set
        set_("default_proc_name", self.app_uri)
        set_("control_socket_disable", True)
        set_("graceful_timeout", math.ceil(config.drain_window + config.close_timeout) + _SPARE)
        set_("bind", list(config.bind))
        if self.file is not None:
            self.load_config_from_file(self.file)
        # Whatever the file says: no other one knows what this arbiter counts on.
        set_("worker_class", _WORKER)
        if self._binds:
            set_("bind", list(config.bind))
        if config.workers:
            set_("workers", config.workers)
        self.chdir()

    def load(self) -> WSGIApplication:
        """Import the application: in a worker, or in the arbiter to preload it."""
        from dualws.serving.load import load_application

        try:
            return load_application(self.app_uri)
        except ApplicationNotFound as error:
            raise AppImportError(str(error)) from error


class _Arbiter(Arbiter):  # gunicorn has no types
    """gunicorn's arbiter.

    :param app: the configuration
    :param sockets: listening sockets; empty where they are inherited
    :param folder: where this process was started
    :param on_listening: called with the listening sockets
    """

    def __init__(
        self,
        app: Workers,
        sockets: list[Any],
        folder: str,
        on_listening: Callable[[list[Any]], object],
    ) -> None:
        self._made = sockets
        self._on_listening = on_listening
        self._files: list[unix.File] = []
        self._stopping = False
        super().__init__(app)
        # With the interpreter's own options, and -m where it was used.
        self.START_CTX = {
            "args": [sys.executable, *sys.orig_argv[1:]],
            "cwd": folder,
            0: sys.executable,
        }

    def start(self) -> None:
        if self._made:
            self.LISTENERS = [
                _KINDS[made.family](made.getsockname(), self.cfg, self.log, fd=made.detach())
                for made in self._made
            ]
        super().start()
        self._files = self._own_files()
        self._on_listening(self.LISTENERS)

    def manage_workers(self) -> None:
        """As gunicorn, for the workers that are not about to leave."""
        leaving = {
            pid: self.WORKERS.pop(pid)
            for pid, worker in tuple(self.WORKERS.items())
            if worker.share is not None and worker.share.leaving
        }
        try:
            super().manage_workers()
        finally:
            self.WORKERS.update(leaving)

    def reload(self) -> None:
        """As gunicorn, unless the new code cannot start: then the old workers stay."""
        problem = rehearsal.problem(self.app.app_uri, self.app.options, self.app.file)
        if problem is not None:
            self.log.error("Not reloaded, the old workers stay: %s", problem)
            return
        now = time.monotonic_ns() // 1000
        systemd.sd_notify(f"RELOADING=1\nMONOTONIC_USEC={now}", self.log)
        before, files = self.cfg.address, self._files
        try:
            super().reload()
        finally:
            systemd.sd_notify("READY=1", self.log)
        if self.cfg.address != before:
            self._files = self._own_files()
            for file in files:
                if file not in self._files:
                    unix.remove(file)

    def reap_workers(self) -> None:
        """As gunicorn; who stops already need not be told that a worker could not start."""
        try:
            super().reap_workers()
        except HaltServer:
            if not self._stopping:
                raise

    def stop(self, graceful: bool = True) -> None:
        """As gunicorn, which would remove the files of sockets that others own by now."""
        self._stopping = True
        systemd.sd_notify("STOPPING=1", self.log)
        listeners, self.LISTENERS = self.LISTENERS, []
        gunicorn_sock.close_sockets(listeners, unlink=False)
        if self.reexec_pid == self.master_pid == 0:
            for file in self._files:
                unix.remove(file)
            self._files = []
        super().stop(graceful)

    def _own_files(self) -> list[unix.File]:
        """The files of unix sockets that this process, or the arbiter before it, has made."""
        if self.systemd or self.cfg.reuse_port:
            return []
        binds = self.cfg.settings["bind"].get()
        paths = [unix.parse(address) for address in binds if address.startswith(unix.PREFIX)]
        return [unix.file_at(path) for path in paths]


def serve(
    application: str,
    backend: str | None,
    options: dict[str, Any],
    file: str | None,
    folder: str,
    announce: Callable[[str, str, int], object],
) -> None:
    """Serve with several processes until a signal ends them.

    :param application: ``MODULE[:NAME]``
    :param backend: value of ``--backend``
    :param options: options by field name; None means not given
    :param file: gunicorn's configuration file
    :param folder: where this process was started
    :param announce: called with the addresses, the backend and the number of workers
    :raises ConfigurationError: something must be changed first
    :raises AddressUnavailable: an address, of figures too, cannot be listened on
    """
    given = probe_settings(application, loading=True, option=backend)
    named = given.pop(bootstrap.VARIABLE, None)
    choice = bootstrap.choose_without_settings(backend) or bootstrap.choose_from_settings(named)
    if backend:
        # The workers choose for themselves, so that a reload may find other settings.
        os.environ[bootstrap.VARIABLE] = choice.name
    bootstrap.announce(choice)
    config = conf.make_config(given, options)
    upgraded = "GUNICORN_PID" in os.environ
    try:
        # The workers of the arbiter before listen there, as a user that this process may not be.
        listen.try_addresses(() if upgraded else config.metrics_bind)
    except AddressUnavailable as error:
        origin = "--metrics-bind" if options.get("metrics_bind") else "DUALWS_METRICS_BIND"
        raise AddressUnavailable(f"{origin}: {error}") from error
    binds = bool(options.get("bind")) or "DUALWS_BIND" in given
    app = Workers(application, options, config, binds, file)
    sockets: list[Any] = []
    inherited = upgraded or systemd.listen_fds(unset_environment=False)
    if not inherited:
        mode = int(config.unix_socket_mode, 8)
        sockets = list(listen.bind_sockets(app.cfg.settings["bind"].get(), mode=mode))

    def on_listening(listeners: list[Any]) -> None:
        scheme = "https" if config.certfile else "http"
        where = ", ".join(listen.describe([listener.sock for listener in listeners], scheme))
        announce(where, choice.name, app.cfg.workers)

    # gunicorn's own run() would hide the sockets.
    _Arbiter(app, sockets, folder, on_listening).run()


def again(workers: int, folder: str) -> None:
    """Start this process anew, with as many workers as the settings ask for.

    :param workers: known only after the application was imported
    :param folder: where this process was started
    """
    words = [sys.executable, *sys.orig_argv[1:], "--workers", str(workers)]
    os.chdir(folder)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, words)
