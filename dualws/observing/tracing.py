"""Spans for OpenTelemetry: one for each request, one for each websocket's whole life.

Law: *who has no provider of spans pays nothing*, whether the library is installed or not. Names
and attributes are those of OpenTelemetry's semantic conventions for HTTP servers; what they do
not know begins with ``dualws.``.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dualws import __version__
from dualws.contract import Environ, StartResponse, WSGIApplication
from dualws.observing.catalog import METHODS

if TYPE_CHECKING:
    from dualws.connection import Connection

#: By this variable OpenTelemetry finds a provider that the project does not name.
_PROVIDER = "OTEL_PYTHON_TRACER_PROVIDER"
#: environ key: the span of the request
_SPAN = "dualws.span"


def tracer() -> Tracing | None:
    """Makes spans; None where nobody has told OpenTelemetry in this process who collects them."""
    if "opentelemetry.trace" not in sys.modules and not os.environ.get(_PROVIDER):
        return None
    trace: Any = importlib.import_module("opentelemetry.trace")
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return None
    return Tracing()


class Tracing:
    """Makes and ends spans with ``opentelemetry-api``."""

    def __init__(self) -> None:
        # By name: the types of a library that may be absent are of no use to a checker.
        self._trace: Any = importlib.import_module("opentelemetry.trace")
        self._propagate: Any = importlib.import_module("opentelemetry.propagate")
        self._context: Any = importlib.import_module("opentelemetry.context")
        self._tracer: Any = self._trace.get_tracer("dualws", __version__)

    def begin(self, environ: Environ) -> Any:
        """Begin the span of a request, as a child of the caller's, and make it the current one."""
        carrier = {
            key[5:].replace("_", "-").lower(): value
            for key, value in environ.items()
            if key.startswith("HTTP_")
        }
        parent = self._propagate.extract(carrier)
        method = environ["REQUEST_METHOD"]
        known = method in METHODS
        attributes: dict[str, Any] = {
            "http.request.method": method if known else "_OTHER",
            "url.path": environ["PATH_INFO"],
            "url.scheme": environ["wsgi.url_scheme"],
            "network.protocol.name": "http",
            "network.protocol.version": environ["SERVER_PROTOCOL"].removeprefix("HTTP/"),
        }
        if not known:
            attributes["http.request.method_original"] = method
        if environ["QUERY_STRING"]:
            attributes["url.query"] = environ["QUERY_STRING"]
        if environ["REMOTE_ADDR"]:
            attributes["client.address"] = environ["REMOTE_ADDR"]
        if environ["REMOTE_PORT"]:
            attributes["client.port"] = int(environ["REMOTE_PORT"])
        if "HTTP_USER_AGENT" in environ:
            attributes["user_agent.original"] = environ["HTTP_USER_AGENT"]
        host, _, port = environ.get("HTTP_HOST", "").rpartition(":")
        if host and port.isdecimal():
            attributes |= {"server.address": host, "server.port": int(port)}
        elif environ.get("HTTP_HOST"):
            attributes["server.address"] = environ["HTTP_HOST"]
        span = self._tracer.start_span(
            method if known else "HTTP",
            context=parent,
            kind=self._trace.SpanKind.SERVER,
            attributes=attributes,
        )
        # Never taken back: a request's contextvars context is its own, and a websocket's handler
        # runs in it too.
        self._context.attach(self._trace.set_span_in_context(span, parent))
        environ[_SPAN] = span
        return span

    def keep(self, environ: Environ) -> Any:
        """The request has become a websocket: its span is the websocket's now."""
        span = environ.pop(_SPAN, None)
        if span is not None:
            span.set_attribute("http.response.status_code", 101)
            span.set_attribute("network.protocol.name", "websocket")
        return span

    def end(self, span: Any, connection: Connection) -> None:
        """A websocket has ended, and so has its span."""
        span.set_attributes(
            {
                "dualws.websocket.close_code": connection.close_code or 1006,
                "dualws.websocket.close_reason": connection.close_reason,
                "dualws.websocket.messages_received": connection.messages_in,
                "dualws.websocket.messages_sent": connection.messages_out,
                "dualws.websocket.bytes_received": connection.bytes_in,
                "dualws.websocket.bytes_sent": connection.bytes_out,
            }
        )
        if connection.close_code == 1011:
            self._failed(span, "1011")
        span.end()

    def answered(self, environ: Environ, code: int) -> None:
        """A request has been answered with the status *code*."""
        span = environ.pop(_SPAN, None)
        if span is None:
            return
        span.set_attribute("http.response.status_code", code)
        if code >= 500:
            self._failed(span, str(code))
        span.end()

    def _failed(self, span: Any, kind: str) -> None:
        span.set_attribute("error.type", kind)
        span.set_status(self._trace.Status(self._trace.StatusCode.ERROR))


class TracedApplication:
    """Runs the whole stack within a span; :class:`~dualws.observing.seeing.Seeing` ends it.

    :param application: what is traced
    :param tracing: makes the spans
    """

    def __init__(self, application: WSGIApplication, tracing: Tracing) -> None:
        self._application = application
        self._tracing = tracing

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        span = self._tracing.begin(environ)
        try:
            return self._application(environ, start_response)
        except BaseException as error:
            span.record_exception(error)
            raise
