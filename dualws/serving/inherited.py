"""Listening sockets that this process was started with: ``fd://N``, and systemd's.

Law: *a descriptor is taken once, and proves itself first*: it is a stream socket, and it
listens from now on. It is not passed on to programs that the project starts.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

from dualws.errors import AddressUnavailable

PREFIX = "fd://"
#: the first descriptor that systemd hands over (sd_listen_fds(3))
FIRST = 3


def take(address: str, backlog: int) -> socket.socket:
    """The listening socket that ``fd://N`` names.

    :param backlog: for a socket that is bound and does not listen yet
    :raises AddressUnavailable: N is no descriptor of a stream socket
    """
    number = address.removeprefix(PREFIX)
    if not number.isascii() or not number.isdigit() or len(number) > 6:
        raise AddressUnavailable(f"{address!r} names no descriptor. Write fd://3")
    try:
        sock = socket.socket(fileno=int(number))
    except OSError as error:
        raise AddressUnavailable(
            f"Cannot listen on {address}: descriptor {number} is not a socket of this process "
            f"({error.strerror}). Whoever starts it must pass that descriptor on"
        ) from error
    try:
        if sock.type != socket.SOCK_STREAM:
            raise AddressUnavailable(
                f"Cannot listen on {address}: it is no stream socket. "
                f"In a systemd unit write ListenStream="
            )
        sock.set_inheritable(False)
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            sock.listen(backlog)
    except OSError as error:
        sock.detach()
        raise AddressUnavailable(
            f"Cannot listen on {address}: {error.strerror}. It must be bound and not connected"
        ) from error
    except BaseException:
        sock.detach()
        raise
    return sock


def from_systemd(environ: MutableMapping[str, str]) -> tuple[str, ...]:
    """``fd://N`` of each socket that systemd hands to this process; empty without any.

    The variables are removed, so that programs started from here do not believe them.

    :param environ: ``os.environ``
    """
    pid, count = environ.get("LISTEN_PID", ""), environ.get("LISTEN_FDS", "")
    if pid != str(os.getpid()) or not count.isdigit():
        return ()
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        environ.pop(name, None)
    return tuple(f"{PREFIX}{FIRST + index}" for index in range(int(count)))
