"""Runs one server in this process, from open sockets to the end.

Law: *the caller has prepared the process*; nothing here chooses or patches. Used by
``dualws serve``, ``manage.py superserver`` and ``dualws demo``.
"""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType

from dualws import __version__, hot
from dualws.contract import Backend, Server, ServerConfig, WSGIApplication
from dualws.serving import listen


def serve(
    backend: type[Backend],
    application: WSGIApplication,
    config: ServerConfig,
    on_listening: Callable[[Server], object],
    *,
    stop_signals: Sequence[int] = (),
    drain_signals: Sequence[int] = (),
    family: int = socket.AF_UNSPEC,
    on_made: Callable[[Server], object] | None = None,
) -> None:
    """Listen on ``config.bind`` and serve until a signal or ``Server.stop()``.

    :param backend: the backend that this process is prepared for
    :param application: the WSGI application
    :param config: the server's configuration
    :param on_listening: called with the server once it accepts connections
    :param stop_signals: signals that stop it; only in the main thread
    :param drain_signals: signals that let it come to its end; only in the main thread
    :param family: ``AF_INET`` or ``AF_INET6`` to listen on such addresses only
    :param on_made: called with the server before it runs
    :raises AddressUnavailable: an address cannot be listened on
    """
    sockets = listen.bind_sockets(config.bind, family, int(config.unix_socket_mode, 8))
    with listen.removing(config.bind):
        try:
            server = backend().make_server(application, config, sockets)
        except BaseException:
            for sock in sockets:
                sock.close()
            raise

        def on_opened() -> None:
            _reload_on_hangup(server)
            on_listening(server)

        server.on_opened = on_opened
        if on_made is not None:
            on_made(server)
        if server.certificates is not None:
            # There it asks for the certificates to be read again.
            drain_signals = [number for number in drain_signals if number != signal.SIGHUP]
        if server.can_drain:
            server.run(stop_signals=stop_signals, drain_signals=drain_signals)
        else:
            server.run(stop_signals=(*stop_signals, *drain_signals))


def banner(server: Server, what: str) -> str:
    """The line that says what is served where.

    :param server: a server that listens
    :param what: what it serves, in a word
    """
    urls = ", ".join(listen.describe(server.sockets, scheme_of(server)))
    carrier = carried_by(type(server.backend)) + ("" if hot.COMPILED else ", pure Python")
    return f"dualws {__version__}: {what} on {urls} ({carrier}), Ctrl-C stops"


def scheme_of(server: Server) -> str:
    """``https`` where it speaks TLS, otherwise ``http``."""
    return "http" if server.certificates is None else "https"


def _reload_on_hangup(server: Server) -> None:
    """Read the certificates again on SIGHUP, where signals can be heard."""
    if server.certificates is None or threading.current_thread() is not threading.main_thread():
        return

    def reload(number: int, frame: FrameType | None) -> None:
        # Not here: a signal may come in the midst of anything, a log record included.
        server.runtime.call_later(0, server.reload_certificates)

    signal.signal(signal.SIGHUP, reload)


def carried_by(backend: type[Backend]) -> str:
    """The backend's library and version, or at least its name."""
    return backend.versions() or backend.name


def show_logs() -> None:
    """Write dualws's log records to stderr when the project's LOGGING does not say otherwise."""
    logger = logging.getLogger("dualws")
    for name, known in logging.root.manager.loggerDict.items():
        # LOGGING silences by default every logger that exists already and that it does not
        # name. Ours exist only because a server is older than its settings.
        if name.partition(".")[0] == "dualws" and isinstance(known, logging.Logger):
            known.disabled = False
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)
        show_access_log()
    if logger.getEffectiveLevel() > logging.INFO and logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)


def show_access_log() -> None:
    """Write the access log to stdout as it is: its lines have a form that programs read."""
    access = logging.getLogger("dualws.access")
    if not access.handlers:
        lines = logging.StreamHandler(sys.stdout)
        lines.setFormatter(_AccessLine())
        access.addHandler(lines)
        access.propagate = False


class _AccessLine(logging.Formatter):
    """A line as it is; in the format ``django`` the time belongs to the formatter."""

    def format(self, record: logging.LogRecord) -> str:
        moment = getattr(record, "server_time", None)
        return f"[{moment}] {record.getMessage()}" if moment else record.getMessage()
