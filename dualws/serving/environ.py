"""The WSGI environ of a request, the same on every backend (PEP 3333, RFC 3875).

Law: *everything in the environ comes from the request and from the two addresses of its
connection*, never from the process's own environment and never from a name lookup. Text
is what PEP 3333 asks for: bytes decoded as latin-1.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes
from wsgiref.util import FileWrapper

from dualws import __version__
from dualws.contract import ENVIRON_SERVER, Environ, Server

_logger = logging.getLogger("dualws.server")

#: Header names are few, so their keys are kept; a peer that invents them must not fill the
#: memory with many or with long ones.
_KEPT_KEYS = 1024
_KEPT_LENGTH = 64


#: Bytes that a file is read by at a time, at least: a piece costs a turn of the loop.
_FILE_PIECE = 64 * 1024


class FileBlocks(FileWrapper):
    """``wsgi.file_wrapper``: reads in large pieces, whatever the application asks for.

    :param filelike: the file
    :param blksize: bytes at a time, at most as few as makes sense
    """

    def __init__(self, filelike: Any, blksize: int = _FILE_PIECE) -> None:
        super().__init__(filelike, max(blksize, _FILE_PIECE))


class ErrorStream:
    """``wsgi.errors``: what an application writes there is logged to ``dualws.server``.

    One write is one log record, so that a traceback stays in one piece.
    """

    def write(self, text: str) -> int:
        """Log *text* as an error; white space alone (the end of a ``print``) is dropped."""
        message = text.rstrip()
        if message:
            _logger.error("%s", message)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Log *lines* as one error."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Do nothing: a record is out once it is logged."""


_ERRORS = ErrorStream()


def environ_key(name: str) -> str:
    """The environ key of the header *name*; empty when it must be left out.

    A name with an underscore would be indistinguishable from the one with a hyphen that
    a proxy sets or removes (``X_Forwarded_Proto``), so it never reaches the application.
    """
    if "_" in name:
        return ""
    key = name.upper().replace("-", "_")
    if key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        return key
    return "HTTP_" + key


_kept_key = functools.lru_cache(_KEPT_KEYS)(environ_key)


def split_target(target: str) -> tuple[str, str, str]:
    """Split a request target (RFC 9112 section 3.2) into path, query and authority.

    The path is percent-decoded; the authority is empty unless *target* is a whole URL.

    :raises ValueError: *target* has no form that an origin server answers
    """
    authority = ""
    path, _, query = target.partition("?")
    if not path.startswith("/"):
        if path == "*":
            return "", query, ""
        scheme, mark, rest = path.partition("://")
        if not mark or scheme.lower() not in ("http", "https", "ws", "wss"):
            raise ValueError("the request target is not a path, not an http URL and not *")
        authority, _, path = rest.partition("/")
        path = "/" + path
        if not authority or "@" in authority:
            raise ValueError("the request target is a URL without a usable host")
    if "%" in path:
        path = unquote_to_bytes(path.encode("latin-1")).decode("latin-1")
    return path, query, authority


def _server_name(local: tuple[str, int] | str, scheme: str) -> tuple[str, str]:
    """SERVER_NAME and SERVER_PORT; PEP 3333 allows neither to be empty."""
    if isinstance(local, str) or not local:
        return "localhost", "443" if scheme == "https" else "80"
    host = local[0]
    # RFC 3875 section 4.1.14: an IPv6 address stands in brackets.
    return f"[{host}]" if ":" in host else host, str(local[1])


def make_environ(
    *,
    method: str,
    target: str,
    version: str,
    headers: Iterable[tuple[str, str]],
    server: Server,
    local: tuple[str, int] | str,
    peer: tuple[str, int] | str,
    scheme: str,
    input: BinaryIO,
    content_length: int | None,
    multithread: bool,
) -> Environ:
    """Build the environ of one request.

    :param method: request method
    :param target: request target as it was sent, decoded as latin-1
    :param version: ``HTTP/1.0`` or ``HTTP/1.1``
    :param headers: header names and values, decoded as latin-1, in the order they came
    :param server: becomes ``wsgi.server``
    :param local: the connection's own address; a path (or ``""``) for a unix socket
    :param peer: the client's address; a path (or ``""``) for a unix socket
    :param scheme: ``http`` or ``https``
    :param input: the body, ending where the body ends
    :param content_length: bytes in *input*, also of a body that came in chunks; None when
        the request has no body
    :param multithread: whether the application may run in several threads at once
    :raises ValueError: the target has no form that an origin server answers (a 400)
    """
    path, query, authority = split_target(target)
    server_name, server_port = _server_name(local, scheme)
    environ: Environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "RAW_URI": target,
        "REQUEST_URI": target,
        "SERVER_PROTOCOL": version,
        "SERVER_NAME": server_name,
        "SERVER_PORT": server_port,
        "SERVER_SOFTWARE": f"dualws/{__version__}",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REMOTE_ADDR": "",
        "REMOTE_PORT": "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": input,
        "wsgi.input_terminated": True,
        "wsgi.errors": _ERRORS,
        "wsgi.file_wrapper": FileBlocks,
        "wsgi.multithread": multithread,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        ENVIRON_SERVER: server,
    }
    if not isinstance(peer, str) and peer:
        environ["REMOTE_ADDR"] = peer[0]
        environ["REMOTE_PORT"] = str(peer[1])
    for name, value in headers:
        key = _kept_key(name) if len(name) <= _KEPT_LENGTH else environ_key(name)
        if not key:
            continue
        if key not in environ:
            environ[key] = value
        elif key == "HTTP_COOKIE":
            # RFC 6265 section 5.4: pairs are parted by a semicolon, not a comma.
            environ[key] += "; " + value
        elif key.startswith("HTTP_"):
            environ[key] += "," + value
    if authority:
        # RFC 9112 section 3.2.2: the target's host replaces the header's.
        environ["HTTP_HOST"] = authority
    if content_length is not None:
        environ["CONTENT_LENGTH"] = str(content_length)
        environ.pop("HTTP_TRANSFER_ENCODING", None)
    return environ
