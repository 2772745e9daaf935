"""What the access log says of one request or one websocket, and its forms as text.

Law: *a line is one line*. Whatever bytes a client sent, they cannot end it, drive a
terminal, or pass for another field: what is not printable ASCII is written as ``\\xhh``, and so
are the quotation mark and the backslash.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable
from typing import Any, Final

#: A request that was answered; a websocket at its beginning, and at its end.
REQUEST: Final = "request"
OPEN: Final = "open"
CLOSE: Final = "close"


@dataclasses.dataclass(slots=True, kw_only=True)
class Entry:
    """One line of the access log.

    :param event: :data:`REQUEST`, :data:`OPEN` or :data:`CLOSE`
    :param address: the client's address, empty for a unix socket
    :param user: who: REMOTE_USER, or the primary key of the websocket's user; empty if unknown
    :param method: request method; empty where no valid request line has come
    :param target: request target as it was sent; without a method, what came in its place
    :param protocol: ``HTTP/1.1`` or ``HTTP/1.0``; empty without a method
    :param status: status code of the answer; 101 of a websocket
    :param length: bytes of the answer's body; of a websocket, bytes sent
    :param referer: header of that name
    :param agent: header User-Agent
    :param seconds: how long the request took, or the websocket lived; 0 at its beginning
    :param code: close code of a websocket
    :param reason: the reason that came with it
    :param messages_in: messages that the peer sent
    :param messages_out: messages that it was sent
    :param bytes_in: bytes that the peer sent
    """

    event: str
    address: str
    user: str
    method: str
    target: str
    protocol: str
    status: int
    length: int
    referer: str
    agent: str
    seconds: float
    code: int | None = None
    reason: str = ""
    messages_in: int = 0
    messages_out: int = 0
    bytes_in: int = 0


_PLAIN = {
    code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0x100), ord('"'), ord("\\"))
}


def plain(text: str) -> str:
    """*text* in printable ASCII, without quotation marks."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return text.translate(_PLAIN).encode("ascii", "backslashreplace").decode("ascii")


def _word(text: str) -> str:
    """A field that ends with a space: ``-`` stands for nothing."""
    return plain(text).replace(" ", "\\x20") or "-"


def _request_line(entry: Entry) -> str:
    if not entry.method:
        # No valid request line has come: what there is of it.
        return entry.target or "-"
    return f"{entry.method} {entry.target} {entry.protocol}"


def django(entry: Entry) -> str:
    """As Django's runserver prints it."""
    line = _request_line(entry)
    if not line.isprintable():
        line = "".join(mark if mark.isprintable() else plain(mark) for mark in line)
    return f'"{line}" {entry.status} {entry.length}{_websocket(entry)}'


def common(entry: Entry) -> str:
    """Common log format; a websocket's line goes on behind it."""
    return _common(entry) + _websocket(entry)


def combined(entry: Entry) -> str:
    """Combined log format: with referrer and user agent; a websocket's line goes on behind it."""
    agents = f' "{plain(entry.referer) or "-"}" "{plain(entry.agent) or "-"}"'
    return _common(entry) + agents + _websocket(entry)


def _common(entry: Entry) -> str:
    return (
        f"{_word(entry.address)} - {_word(entry.user)} [{_now('%Y:%H:%M:%S %z')}] "
        f'"{plain(_request_line(entry))}" {entry.status} {entry.length}'
    )


def server_time() -> str:
    """The moment as ``runserver`` writes it before a request; :func:`django` leaves it out.

    The formatter of Django's logger ``django.server`` puts it there.
    """
    return _now("%Y %H:%M:%S")


def _now(rest: str) -> str:
    now = time.localtime()
    return f"{now.tm_mday:02}/{_MONTHS[now.tm_mon - 1]}/{time.strftime(rest, now)}"


#: Log formats have English months, whatever the locale is.
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def _websocket(entry: Entry) -> str:
    if entry.event == REQUEST:
        return ""
    if entry.event == OPEN:
        return f" websocket=open pid={os.getpid()}"
    return (
        f" websocket=close pid={os.getpid()} code={entry.code} seconds={entry.seconds:.3f}"
        f" messages_in={entry.messages_in} bytes_in={entry.bytes_in}"
        f" messages_out={entry.messages_out} bytes_out={entry.length}"
        f' reason="{plain(entry.reason)}"'
    )


def as_json(entry: Entry) -> str:
    """One JSON object; every line has the same first fields, whatever it is of."""
    moment = time.time()
    second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))
    fields: dict[str, Any] = {
        "time": f"{second}.{int(moment % 1 * 1000):03}Z",
        "event": entry.event,
        "pid": os.getpid(),
        "address": entry.address,
        "user": entry.user or None,
        "method": entry.method or None,
        "target": entry.target or None,
        "protocol": entry.protocol or None,
        "status": entry.status,
        "bytes_out": entry.length,
        "seconds": round(entry.seconds, 6),
        "referer": entry.referer or None,
        "user_agent": entry.agent or None,
    }
    if entry.event == CLOSE:
        fields |= {
            "code": entry.code,
            "reason": entry.reason,
            "messages_in": entry.messages_in,
            "messages_out": entry.messages_out,
            "bytes_in": entry.bytes_in,
        }
    return json.dumps(fields)


#: Values of the setting ``access_log_format``.
FORMATS: dict[str, Callable[[Entry], str]] = {
    "combined": combined,
    "common": common,
    "json": as_json,
    "django": django,
}
