"""One line for each request that was answered, in the form that Django's runserver prints.

Law: *a line is one line*: whatever bytes a client sent, they cannot end it or drive a
terminal.
"""

from __future__ import annotations

import logging

from dualws.contract import Environ

_logger = logging.getLogger("dualws.access")

#: C0 and C1 controls and DEL, as they are written in Python.
_VISIBLE = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}


def log_access(environ: Environ, status: str, length: int) -> None:
    """Log a finished request to ``dualws.access``.

    The record has the attributes ``request`` (the environ) and ``status_code``, which
    Django's ``ServerFormatter`` colours by.

    :param environ: the request's environ
    :param status: status line of the answer, ``200 OK``
    :param length: bytes of the body that were sent
    """
    line = f"{environ['REQUEST_METHOD']} {environ['RAW_URI']} {environ['SERVER_PROTOCOL']}"
    if not line.isprintable():
        line = line.translate(_VISIBLE)
    code = status[:3]
    _logger.info(
        '"%s" %s %d',
        line,
        code,
        length,
        extra={"request": environ, "status_code": int(code)},
    )
