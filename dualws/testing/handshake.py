"""One handshake in process: the real middleware, asked by a client in memory.

Law: the request, and the handler after it, run in the websocket's own thread, as on a server;
the test waits until the request is answered, with a 101 or with anything else.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from http.client import parse_headers
from io import BytesIO
from typing import Any, ClassVar

from django.core.signals import got_request_exception
from django.http import HttpResponse, HttpResponseBase

from dualws.conf import config_from_django
from dualws.contract import (
    ENVIRON_SERVER,
    ENVIRON_UPGRADE,
    Backend,
    ConnectionOwner,
    Environ,
    Server,
    ServerConfig,
    StartResponse,
    WSGIApplication,
)
from dualws.testing.databases import Loan
from dualws.testing.peer import Client
from dualws.testing.position import position
from dualws.testing.runtime import Runtime
from dualws.testing.transport import MemoryTransport

#: The application as Django's test client has it: a response for an environ.
Respond = Callable[[Environ], HttpResponseBase]


class InProcess(Backend):
    """What ``environ["wsgi.server"].backend`` is under :class:`WebSocketClient`."""

    name: ClassVar[str] = "test"
    summary: ClassVar[str] = "websockets of a test, in memory"
    contract_version: ClassVar[int] = 1

    @classmethod
    def prepare(cls) -> None:
        """Nothing: there are only threads."""

    def make_server(
        self, application: WSGIApplication, config: ServerConfig, sockets: Iterable[Any]
    ) -> Server:
        """Never needed: each websocket under test makes its own."""
        raise RuntimeError("this backend drives tests and cannot serve: choose another")


class InProcessServer(Server):
    """The server of one websocket under test.

    :param runtime: its runtime
    """

    def __init__(
        self, application: WSGIApplication, config: ServerConfig, runtime: Runtime
    ) -> None:
        super().__init__(InProcess(), application, config, ())
        self._runtime = runtime

    @property
    def runtime(self) -> Runtime:
        """How code waits and starts."""
        return self._runtime

    def run(self, *, stop_signals: Iterable[int] = (), drain_signals: Iterable[int] = ()) -> None:
        """Nothing: it listens nowhere."""

    def stop(self) -> None:
        """Nothing."""


class Handshake:
    """Implements :class:`dualws.contract.Upgrade`; one use.

    :param changed: notified of whatever happens
    """

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self.runtime: Runtime
        self._loan: Loan
        self.client = Client(changed)
        self.transport: MemoryTransport | None = None
        self.connection: Any = None
        #: what the handler raised
        self.failure: BaseException | None = None
        #: seconds that the answer may take
        self.timeout = 5.0
        self._environ: Environ = {}
        self._head = b""
        self._after: Callable[[], object] | None = None
        self._django: HttpResponseBase | None = None
        self._headers: list[tuple[str, str]] = []
        self._answer: HttpResponseBase | None = None
        self._error: BaseException | None = None

    # -- for the test --------------------------------------------------------------------

    def ask(self, environ: Environ, respond: Respond) -> HttpResponseBase:
        """Make the request.

        :return: the application's response, or a 101
        :raises TimeoutError: it was not answered in time
        """
        self._environ = environ
        config = config_from_django({})
        loan = self._loan = Loan()
        self.runtime = Runtime(self._changed, loan.borrowed, self._ended)
        server = InProcessServer(self._wsgi(respond), config, self.runtime)
        server.on_handler_failed = self.failed
        got_request_exception.connect(self._raised_inside)
        environ[ENVIRON_SERVER] = server
        environ[ENVIRON_UPGRADE] = self
        self.runtime.start(lambda: self._serve(server.application))
        with self._changed:
            if not self._changed.wait_for(lambda: self._answer or self._error, self.timeout):
                raise TimeoutError(
                    f"the handshake of {environ['PATH_INFO']} was not answered within "
                    f"{self.timeout:g} s: the view is busy {position(self.runtime.thread)}"
                )
        if self.transport is None:
            self.runtime.thread.join(self.timeout)
        if self._answer is None:
            assert self._error is not None
            raise self._error
        return self._answer

    def failed(self, error: BaseException) -> None:
        """The handler raised *error*."""
        with self._changed:
            if self.failure is None:
                self.failure = error
            self._changed.notify_all()

    # -- in the websocket's thread ----------------------------------------------------------

    def _ended(self) -> None:
        got_request_exception.disconnect(self._raised_inside)
        self._loan.end()

    def _raised_inside(self, **_: object) -> None:
        """A view raised; after it accepted, the response that Django makes of that is lost."""
        error = sys.exc_info()[1]
        mine = threading.current_thread() is self.runtime.thread
        if error is not None and mine and self.transport is not None:
            self.failed(error)

    def _wsgi(self, respond: Respond) -> WSGIApplication:
        def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            response = self._django = respond(environ)
            headers = self._headers = [
                *response.items(),
                *(("Set-Cookie", c.OutputString()) for c in cookies()),
            ]
            start_response(f"{response.status_code} {response.reason_phrase}", headers)
            return response

        def cookies() -> Iterable[Any]:
            return () if self._django is None else self._django.cookies.values()

        return application

    def _serve(self, application: WSGIApplication) -> None:
        said: list[Any] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: object = None
        ) -> Callable[[bytes], object]:
            said[:] = [status, headers]
            return written.append

        written: list[bytes] = []
        try:
            result = application(self._environ, start_response)
            try:
                if self.transport is None:
                    self._refused(said, written, result)
            finally:
                close = getattr(result, "close", None)
                if close is not None:
                    close()
            if self._after is not None:
                self._after()
        except BaseException as error:
            if self.transport is not None:
                self.failed(error)
                return
            with self._changed:
                self._error = error
                self._changed.notify_all()
        finally:
            if self.transport is None:
                self.end()

    def _refused(self, said: list[Any], written: list[bytes], result: Iterable[bytes]) -> None:
        response = self._django
        if response is None or said[1] is not self._headers:
            # The middleware's own answer, or that of code outside of Django.
            status = int(said[0].split()[0])
            response = HttpResponse(b"".join((*written, *result)), status=status)
            for name, value in said[1]:
                response[name] = value
            self._describe(response)
        with self._changed:
            self._answer = response
            self._changed.notify_all()

    def _describe(self, response: HttpResponseBase) -> None:
        """Give a response of ours what Django's client expects of one."""
        from django.core.handlers.wsgi import WSGIRequest

        request = getattr(self._django, "wsgi_request", None) or WSGIRequest(self._environ)
        vars(response)["wsgi_request"] = request

    def end(self) -> None:
        """Nothing more will happen but what has begun."""
        self.runtime.finish()

    # -- the contract ------------------------------------------------------------------------

    def reserve(self) -> bool:
        """True: the thread is there."""
        return True

    def after(self, handler: Callable[[], object]) -> None:
        """Call *handler* when the request is over.

        :raises RuntimeError: there is one already
        """
        if self._after is not None:
            raise RuntimeError("there is a handler to be called after this request already")
        self._after = handler

    def switch(self, head: bytes, owner: ConnectionOwner) -> MemoryTransport:
        """Leave HTTP: the handshake is accepted.

        :raises RuntimeError: it has been already
        """
        if self.transport is not None:
            raise RuntimeError("this request has left HTTP already")
        headers = parse_headers(BytesIO(head.partition(b"\r\n")[2]))
        self.connection = owner
        self.transport = MemoryTransport(owner, self.client, self.runtime, self.end)
        self.client.begin(self.transport, headers.get("Sec-WebSocket-Extensions", ""))
        response = HttpResponse(status=101)
        del response["Content-Type"]
        for name, value in headers.items():
            if name.lower() == "set-cookie":
                response.cookies.load(value)
            else:
                response[name] = value
        self._describe(response)
        with self._changed:
            self._answer = response
            self._changed.notify_all()
        return self.transport
