"""One of several processes under gunicorn's arbiter.

``gunicorn -k dualws.serving.gunicorn.Worker mysite.wsgi`` runs it, and so does ``dualws serve
--workers 4`` (:mod:`dualws.serving.workers`).

Law: *the worker knows the contract, and no backend*. It is told which one by the settings, as
``dualws serve`` is, prepares the process before the project is imported, and drives the server
through :class:`~dualws.contract.Server`. The arbiter stays as it is: it is prepared only if
it imports the project itself (``preload_app``), at the moment when it begins to.

The heartbeat comes from the server's loop, so a loop that is blocked for longer than gunicorn's
``timeout`` is noticed. ``gunicorn`` here is the library, which this module is named after.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import os
import signal
import socket
import sys
import time
import traceback
import weakref
from collections.abc import Iterable
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar

from gunicorn.arbiter import Arbiter
from gunicorn.errors import AppImportError, HaltServer
from gunicorn.workers import base

from dualws import bootstrap, heap
from dualws.errors import ConfigurationError
from dualws.observing import shared
from dualws.serving import explain
from dualws.serving.preload import PrepareAtImport
from dualws.serving.share import Board, Share

if TYPE_CHECKING:
    from dualws.contract import Backend, Environ, Server, StartResponse, WSGIApplication

#: Seconds between heartbeats at most.
_BEAT = 1.0
#: Seconds before gunicorn's ``graceful_timeout`` at which a drain is over.
_MARGIN = 0.5
#: Seconds between two workers that cannot start.
_PAUSE = 1.0
#: Exit codes of a worker by which it ends the arbiter, and with it all that runs.
_ENDS_ARBITER = (Arbiter.WORKER_BOOT_ERROR, Arbiter.APP_LOAD_ERROR)


class Worker(base.Worker):
    """Serves websockets and HTTP in one process of several."""

    #: the backend's name, found out once in the arbiter, and again when that reloads
    _backend_name: ClassVar[str | None] = None
    #: how many the arbiter began with; a reload may ask for more
    _beginners: ClassVar[int] = 0
    _board: ClassVar[Board | None] = None
    _places: ClassVar[weakref.WeakSet[Worker]] = weakref.WeakSet()

    # -- in the arbiter ------------------------------------------------------------

    @classmethod
    def setup(cls) -> None:
        """Called by gunicorn's configuration, before the arbiter preloads and when it reloads."""
        cls._backend_name = None
        # For the figures of all workers together.
        shared.name_folder()
        PrepareAtImport.install(cls._choose)

    @classmethod
    def _choose(cls, application: str | None = None) -> str:
        """The backend's name.

        :raises ConfigurationError: the settings cannot be read
        """
        if cls._backend_name is None:
            prepared = bootstrap.prepared()
            # A process that has preloaded the project is what it is.
            cls._backend_name = (
                bootstrap.choose(None, application).name if prepared is None else prepared.name
            )
        return cls._backend_name

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.server: Server | None = None
        self._told_to_go = False
        self.backend: type[Backend]
        try:
            self.backend_name = self._choose(getattr(self.app, "app_uri", None))
        except ConfigurationError as error:
            raise HaltServer(str(error), Arbiter.APP_LOAD_ERROR) from error
        cls = type(self)
        cls._beginners = cls._beginners or self.cfg.workers
        #: whether it is one of those that the arbiter began with
        self._is_first = self.age <= cls._beginners
        if cls._board is None:
            cls._board = Board()
        self.share: Share | None = cls._board.share(
            {worker.share.slot for worker in cls._places if worker.share and worker._lives()}
        )
        cls._places.add(self)

    def _lives(self) -> bool:
        if isinstance(self.pid, int):
            with contextlib.suppress(PermissionError):
                try:
                    os.kill(self.pid, 0)
                except ProcessLookupError:
                    return False
        return True

    # -- in the worker's process ---------------------------------------------------

    def init_process(self) -> None:
        """Prepare the process, then let gunicorn import the application and run."""
        PrepareAtImport.remove()
        # Before gunicorn does: until then signals are queued for an arbiter, that is for nobody.
        self.init_signals()
        try:
            try:
                self.backend = bootstrap.prepare(self.backend_name)
            except ConfigurationError as error:
                raise self._unable(str(error)) from error
            self.backend.after_fork()
            super().init_process()
        except Exception as error:
            if self.booted or self._is_first:
                raise
            raise self._unable(f"{type(error).__name__}: {error}") from error
        except SystemExit as error:
            if error.code not in _ENDS_ARBITER:
                raise
            if self.booted:
                raise SystemExit(1) from error
            raise self._unable(f"sys.exit({error.code}) was called") from error

    def load_wsgi(self) -> None:
        """Import the application."""
        try:
            super().load_wsgi()
        except (Exception, SystemExit) as error:
            if self._is_told(error) or (self._is_first and isinstance(error, Exception)):
                raise
            said = str(error)
            if not isinstance(error, AppImportError):
                said = explain.import_failure(str(getattr(self.app, "app_uri", "")), error)
            raise self._unable(said) from error

    def _is_told(self, error: BaseException) -> bool:
        """Whether *error* is how :meth:`handle_quit` ends this worker, not the project's doing."""
        return isinstance(error, SystemExit) and not self.alive

    def init_signals(self) -> None:
        """Minds signals until the server runs, which then minds SIGTERM itself."""
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, self.handle_exit)
        signal.signal(signal.SIGINT, self.handle_quit)
        signal.signal(signal.SIGQUIT, self.handle_quit)
        signal.signal(signal.SIGWINCH, self.handle_winch)
        signal.signal(signal.SIGUSR1, self.handle_usr1)
        signal.signal(signal.SIGABRT, self.handle_abort)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM before the server minds it."""
        self.alive = False
        self._told_to_go = True

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """SIGQUIT or SIGINT: stop at once."""
        self.alive = False
        self.cfg.worker_int(self)
        if self.server is None:
            sys.exit(0)
        self.server.stop()

    def handle_abort(self, sig: int, frame: FrameType | None) -> None:
        """SIGABRT: the arbiter has had no heartbeat, because the loop is blocked, by *frame*."""
        stack = "".join(traceback.format_stack(frame)) if frame is not None else ""
        self.log.critical("The loop was blocked, and this worker ends, in:\n%s", stack)
        self.cfg.worker_abort(self)
        # Not SystemExit: whoever blocks the loop might catch it.
        os._exit(1)

    def run(self) -> None:
        """Serve until the server has come to its end."""
        try:
            self._serve()
        except ConfigurationError as error:
            raise self._unable(str(error)) from error
        finally:
            if self.share is not None:
                # Until the arbiter has noticed it counts as one that has left.
                self.share.leave()

    def _unable(self, why: str) -> BaseException:
        """What tells the arbiter that this worker cannot start.

        The arbiter ends when its first workers cannot. A later one must not end what runs: it is
        tried again.
        """
        failure: BaseException
        if self._is_first:
            failure = AppImportError(why)
        else:
            self.log.error("This worker cannot start, the next one tries again: %s", why)
            # The arbiter does not wait before it starts that one.
            time.sleep(_PAUSE)
            failure = SystemExit(1)
        return failure

    def _serve(self) -> None:
        from dualws.serving import load, run

        if not self.alive:
            return
        try:
            load.check_urls()
        except SystemExit as error:
            if self._is_told(error):
                raise
            raise self._unable(load.urls_failure(error)) from error
        config = self._config()
        self._share_logs()
        run.show_logs()
        self._warn()
        # Made after the preparation: what a backend has patched is to see patched sockets.
        sockets = [
            socket.socket(s.sock.family, s.sock.type, s.sock.proto, fileno=s.sock.detach())
            for s in self.sockets
        ]
        server = self.backend().make_server(self._counted(self.wsgi), config, sockets)
        self.server = server
        server.drain_limit = max(self.cfg.graceful_timeout - _MARGIN, 0.0)
        server.share = self.share
        server.on_opened = self._beat
        if self.cfg.accesslog or self.cfg.syslog or self.cfg.logconfig or self.cfg.logconfig_dict:
            from dualws.observing.access import to_gunicorn

            server.on_access = to_gunicorn(self.log)
        if not self.alive:
            return
        heap.freeze(shared=bool(self.cfg.preload_app))
        if server.can_drain:
            server.run(drain_signals=(signal.SIGTERM,))
        else:
            server.run(stop_signals=(signal.SIGTERM,))

    def _config(self) -> Any:
        from dualws import conf

        config = conf.config_from_django(getattr(self.app, "options", {}))
        return dataclasses.replace(config, bind=tuple(map(str, self.sockets)))

    def _warn(self) -> None:
        """What ``manage.py check`` cannot know: the number of workers comes from the options."""
        if self.age > 1 or self.cfg.workers < 2 or "django.conf" not in sys.modules:
            return
        from dualws.checks import about_topics

        said = about_topics()
        if said is not None:
            self.log.warning("There are %d workers: %s (dualws.W006)", self.cfg.workers, said)

    def _share_logs(self) -> None:
        """Write what the project's LOGGING leaves alone to gunicorn's error log."""
        from dualws.serving import run

        logger = logging.getLogger("dualws")
        if not logger.hasHandlers():
            for handler in logging.getLogger("gunicorn.error").handlers:
                logger.addHandler(handler)
            run.show_access_log()

    def _beat(self) -> None:
        """Tell the arbiter, and the other workers, that the loop runs; in the loop's thread."""
        server = self.server
        assert server is not None
        self.notify()
        if self.share is not None:
            self.share.write(server.open_connections())
        if os.getppid() != self.ppid and not server.draining:
            self.log.warning("The arbiter has gone: worker %s comes to its end", self.pid)
            server.drain()
        elif self._told_to_go and not server.draining:
            # SIGTERM came just before the server began to mind it.
            server.drain()
        period = min(_BEAT, self.timeout / 2) if self.timeout else _BEAT
        server.runtime.call_later(period, self._beat)

    def _counted(self, application: WSGIApplication) -> WSGIApplication:
        """*application*, which asks for another worker after ``max_requests`` requests."""
        last = self.max_requests
        if last == sys.maxsize:
            return application
        count = itertools.count(1)

        def counted(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            # One step of the interpreter, in whatever thread.
            if next(count) == last:
                self._recycle()
            return application(environ, start_response)

        return counted

    def _recycle(self) -> None:
        """This worker has served its requests: come to an end, and let another take its place."""
        assert self.server is not None
        self.log.info("Worker %s has served %d requests and ends", self.pid, self.max_requests)
        if self.share is not None:
            self.share.leave()
            if os.getppid() == self.ppid:
                # The arbiter looks after its workers when it hears of one.
                os.kill(self.ppid, signal.SIGCHLD)
        self.server.drain()
