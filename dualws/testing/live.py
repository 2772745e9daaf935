"""A live server with websockets, in the process of the tests, for browsers and other real clients.

Law: it serves what the tests see. Its threads use the test's own connection to a SQLite
database in memory, and connections of their own to any other database, as Django's
``LiveServerTestCase`` does it.

Tornado runs as it always does, in threads. gevent runs in one thread with a hub of its own and,
unless the whole test run was started through ``python -m dualws.bootstrap``, on a standard
library that is not patched: websockets wait in greenlets, while ``time.sleep()`` or a slow query
stops that server for as long as it takes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.db import connections
from django.test import LiveServerTestCase
from django.test.testcases import LiveServerThread
from django.utils.functional import classproperty

from dualws import bootstrap, registry
from dualws.conf import config_from_django
from dualws.contract import Environ, Server, StartResponse, WSGIApplication
from dualws.database import release_connections
from dualws.serving import listen
from dualws.testing.databases import Loan, is_in_memory

#: Seconds that a server may take to begin, and to end.
_PATIENCE = 30.0


def chosen_backend(name: str | None = None) -> str:
    """The backend for a live server: *name*, or as ``dualws serve`` would choose.

    :raises ConfigurationError: ``DUALWS_BACKEND`` in the settings is not a name
    """
    choice = bootstrap.choose_without_settings(name)
    if choice is None:
        choice = bootstrap.choose_from_settings(getattr(settings, "DUALWS_BACKEND", None))
    return choice.name


class WebSocketLiveServer:
    """Serves the project on a free port, from :meth:`start` to :meth:`stop`, or in a ``with``.

    :param backend: name of the backend; default: as ``dualws serve`` would choose it
    :param host: address to listen on
    :param port: 0 takes a free one
    :param application: WSGI application; default: the project's
    """

    def __init__(
        self,
        backend: str | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        application: WSGIApplication | None = None,
    ) -> None:
        self.backend = chosen_backend(backend)
        self.host = host
        self.port = port
        self._application = application
        self._server: Server | None = None
        self._began = threading.Event()
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._loan: Loan | None = None
        self._create_connection: Any = None

    @property
    def netloc(self) -> str:
        """``HOST:PORT``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """``http://HOST:PORT``."""
        return f"http://{self.netloc}"

    @property
    def ws_url(self) -> str:
        """``ws://HOST:PORT``."""
        return f"ws://{self.netloc}"

    def start(self) -> None:
        """Begin to serve, in a thread.

        :raises BackendError: the backend cannot be used
        :raises AddressUnavailable: the address cannot be listened on
        """
        self._loan = Loan(is_in_memory)
        self._lend()
        self._thread = threading.Thread(target=self._run, name="dualws-live-server", daemon=True)
        self._thread.start()
        if not self._began.wait(_PATIENCE):
            self._error = TimeoutError(f"the live server did not begin within {_PATIENCE:g} s")
        if self._error is not None:
            self.stop()
            raise self._error

    def stop(self) -> None:
        """End: websockets are closed with 1001, and the threads wind up."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()
        if self._thread is not None:
            self._thread.join(_PATIENCE)
        if self._loan is not None:
            self._take_back()
            self._loan.end()
            self._loan = None

    def __enter__(self) -> WebSocketLiveServer:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    # -- in the server's threads -----------------------------------------------------------

    def _run(self) -> None:
        try:
            backend = registry.load(self.backend)
            address = f"[{self.host}]:{self.port}" if ":" in self.host else self.netloc
            sockets = listen.bind_sockets((address,))
            self.port = sockets[0].getsockname()[1]
            server = backend().make_server(self._serve, config_from_django({}), sockets)
            server.on_opened = self._began.set
            self._server = server
            try:
                server.run()
            finally:
                backend.leave_thread()
        except BaseException as error:
            self._error = error
        finally:
            self._began.set()
            release_connections()

    def _serve(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if self._application is None:
            self._application = WSGIHandler()
        return self._application(environ, start_response)

    def _lend(self) -> None:
        """Give every new thread the lent connections, as they come to ask for them."""
        assert self._loan is not None
        lent = self._loan.connections
        handler: Any = connections
        create = self._create_connection = handler.create_connection
        handler.create_connection = lambda alias: lent.get(alias) or create(alias)

    def _take_back(self) -> None:
        handler: Any = connections
        if "create_connection" in vars(handler):
            del handler.create_connection


class _ServerThread(LiveServerThread):
    """A :class:`WebSocketLiveServer` behind the interface of Django's thread."""

    backend: str | None = None

    def start(self) -> None:
        self._live = WebSocketLiveServer(
            self.backend,
            host=self.host,
            port=self.port,
            application=_with_files(self.static_handler),
        )
        try:
            self._live.start()
            self.port = self._live.port
        except Exception as error:
            vars(self)["error"] = error
        self.is_ready.set()

    def terminate(self) -> None:
        self._live.stop()


def _with_files(static_handler: Callable[[Any], Any]) -> Any:
    """The project, and its static and media files where it has such."""
    from django.test import testcases

    application: Any = WSGIHandler()
    if settings.MEDIA_URL:
        # Behind a name that Django keeps for itself; without it media files are the project's.
        media = getattr(testcases, "_MediaFilesHandler", None)
        application = media(application) if media is not None else application
    if settings.STATIC_URL:
        application = static_handler(application)
    return application


class WebSocketLiveServerTestCase(LiveServerTestCase):
    """``django.test.LiveServerTestCase`` on a backend of dualws.

    :cvar backend: name of the backend; None: as ``dualws serve`` would choose it
    """

    backend: ClassVar[str | None] = None
    host = "127.0.0.1"
    server_thread_class = _ServerThread

    @classproperty
    def live_server_ws_url(cls) -> str:
        """``ws://HOST:PORT``."""
        return f"ws://{cls.host}:{cls.server_thread.port}"

    @classmethod
    def _create_server_thread(cls, connections_override: Any) -> LiveServerThread:
        thread = _ServerThread(
            cls.host, cls.static_handler, connections_override=connections_override, port=cls.port
        )
        thread.backend = cls.backend
        return thread


@contextmanager
def live_server(backend: str | None = None) -> Iterator[WebSocketLiveServer]:
    """A :class:`WebSocketLiveServer` for a ``with`` statement, allowed by ``ALLOWED_HOSTS``."""
    from django.test.utils import modify_settings

    server = WebSocketLiveServer(backend)
    with modify_settings(ALLOWED_HOSTS={"append": server.host}), server:
        yield server
