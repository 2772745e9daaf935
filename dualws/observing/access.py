"""Where the lines of the access log go: to ``dualws.access``, or to gunicorn's own logger.

Law: *one place decides what is logged* (:mod:`dualws.observing.seeing`); a log only writes it, and
when it cannot, that ends no request.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Protocol, TypeAlias

from dualws.contract import Environ
from dualws.observing.entries import CLOSE, FORMATS, OPEN, Entry, django, plain, server_time

_logger = logging.getLogger("dualws.access")
_errors = logging.getLogger("dualws.server")

#: Takes a line: what it is to say, and the request that it is about.
AccessLog: TypeAlias = Callable[[Entry, Environ], object]


def to_logger(format: str) -> AccessLog:
    """Log to ``dualws.access``.

    The records have the attributes ``entry``, ``request`` (the environ) and ``status_code``, by
    which Django's ``ServerFormatter`` colours, and in the format ``django`` its ``server_time``.

    :param format: ``combined``, ``common``, ``json`` or ``django``
    """
    text = FORMATS[format]

    def write(entry: Entry, environ: Environ) -> None:
        if _logger.isEnabledFor(logging.INFO):
            extra = {"entry": entry, "request": environ, "status_code": entry.status}
            if text is django:
                extra["server_time"] = server_time()
            _logger.info("%s", text(entry), extra=extra)

    return write


def guarded(write: AccessLog) -> AccessLog:
    """*write*, for callers who have a connection to look after: what it raises is logged.

    :param write: handlers and filters of the project may stand behind it
    """

    def guarded_write(entry: Entry, environ: Environ) -> None:
        try:
            write(entry, environ)
        except Exception:
            # The log of errors may be as broken.
            with contextlib.suppress(Exception):
                _errors.exception("A line of the access log cannot be written")

    return guarded_write


class GunicornLogger(Protocol):
    """The part of gunicorn's logger (its setting ``logger_class``) that is used here."""

    def access(
        self, resp: Any, req: Any, environ: Environ, request_time: datetime.timedelta
    ) -> None: ...


def to_gunicorn(logger: GunicornLogger) -> AccessLog:
    """Log through gunicorn's logger: its ``access_log_format``, files and syslog count.

    Of a websocket's lines the environ has more, for ``%({…}e)s``: ``dualws.event`` (``open`` or
    ``close``), and at the end ``dualws.close_code``, ``dualws.messages_in``,
    ``dualws.messages_out``, ``dualws.bytes_in`` and ``dualws.bytes_out``.

    :param logger: the ``log`` of a gunicorn worker
    """

    def write(entry: Entry, environ: Environ) -> None:
        # gunicorn trusts that a parser of its own let nothing through that ends a line.
        environ = {
            key: plain(value) if isinstance(value, str) else value for key, value in environ.items()
        }
        headers = [
            (key[5:].replace("_", "-"), value)
            for key, value in environ.items()
            if key.startswith("HTTP_")
        ]
        for name in ("REQUEST_METHOD", "RAW_URI", "SERVER_PROTOCOL"):
            # Of a request that is refused before it has come they may be unknown.
            environ[name] = environ.get(name) or "-"
        if entry.user:
            environ.setdefault("REMOTE_USER", entry.user)
        if entry.event in (OPEN, CLOSE):
            environ["dualws.event"] = entry.event
        if entry.event == CLOSE:
            environ |= {
                "dualws.close_code": entry.code,
                "dualws.messages_in": entry.messages_in,
                "dualws.messages_out": entry.messages_out,
                "dualws.bytes_in": entry.bytes_in,
                "dualws.bytes_out": entry.length,
            }
        response = SimpleNamespace(
            status=str(entry.status), sent=entry.length, headers=[], response_length=entry.length
        )
        request = SimpleNamespace(headers=headers)
        logger.access(response, request, environ, datetime.timedelta(seconds=entry.seconds))

    return write
