"""Opens listening sockets.

Law: *all or none*. When one of several addresses cannot be had the others are closed
again, and the error says which one, why, and what to do.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
from collections.abc import Iterable, Iterator, Sequence

from dualws.errors import AddressUnavailable
from dualws.serving import inherited, unix

#: connections that the kernel keeps for us until they are accepted
BACKLOG = 2048
#: What an accept fails with where the process, or the system, has nothing left to hold a
#: connection with
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
#: Seconds without accepting then
ACCEPT_PAUSE = 0.5

_BIND = re.compile(r"^(?:\[(?P<ipv6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^:\[\]\s]+)):(?P<port>\d{1,5})$")
#: an address of a name that this machine cannot use, when it has others, is passed over
_NO_SUCH_ADDRESS = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


def bind_sockets(
    addresses: Iterable[str],
    family: int = socket.AF_UNSPEC,
    mode: int = unix.MODE,
    *,
    share: bool = False,
) -> tuple[socket.socket, ...]:
    """Listening sockets for *addresses*.

    A name is looked up and every address that it has on this machine is taken; with port
    0 they all get the same free port.

    :param addresses: each ``HOST:PORT`` or ``[IPV6]:PORT``, port 0 takes a free one;
        ``unix:PATH``; or ``fd://N``, a descriptor that this process was started with
    :param family: ``AF_INET`` or ``AF_INET6`` to take only such addresses of a name; default both
    :param mode: permission bits of the files of unix sockets
    :param share: let other processes of this user listen on the same ports (SO_REUSEPORT)
    :raises AddressUnavailable: an address is not well formed, unknown, in use, or not allowed
    """
    sockets: list[socket.socket] = []
    try:
        for address in addresses:
            if address.startswith(unix.PREFIX):
                sockets.append(unix.listen(address, mode, BACKLOG))
            elif address.startswith(inherited.PREFIX):
                sockets.append(inherited.take(address, BACKLOG))
            else:
                sockets += _bind_one(address, family, share)
    except BaseException:
        _close(sockets)
        raise
    if not sockets:
        raise AddressUnavailable("No address to listen on. Give one: --bind 127.0.0.1:8000")
    return tuple(sockets)


def try_addresses(addresses: Iterable[str]) -> None:
    """Try whether ``HOST:PORT`` addresses could be listened on beside processes that share them.

    Nothing listens meanwhile, so that no connection comes here.

    :raises AddressUnavailable: one could not
    """
    for address in addresses:
        if not address.startswith((unix.PREFIX, inherited.PREFIX)):
            _close(_bind_one(address, socket.AF_UNSPEC, True, backlog=None))


def parse(address: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT`` or ``[IPV6]:PORT``.

    :raises AddressUnavailable: *address* has another form
    """
    match = _BIND.match(address)
    if match is None or int(match["port"]) > 65535:
        if address.isdigit():
            cure = f"Give the host too: 127.0.0.1:{address}"
        elif address.count(":") > 1 and "[" not in address:
            cure = "Put an IPv6 address in brackets: [::1]:8000"
        else:
            cure = "Write HOST:PORT, for example 127.0.0.1:8000, or [::1]:8000, or unix:/run/x.sock"
        raise AddressUnavailable(f"{address!r} is not an address to listen on. {cure}")
    return match["ipv6"] or match["host"], int(match["port"])


def describe(sockets: Sequence[socket.socket], scheme: str = "http") -> list[str]:
    """The addresses that *sockets* really have, as URLs without a path; ``unix:PATH`` for files."""
    urls = []
    for sock in sockets:
        name = sock.getsockname()
        if isinstance(name, tuple):
            host = f"[{name[0]}]" if ":" in name[0] else name[0]
            urls.append(f"{scheme}://{host}:{name[1]}")
        else:
            urls.append(unix.PREFIX + os.fsdecode(name))
    return urls


def name_of(peer: object) -> str:
    """The other end of a connection, as the log calls it.

    :param peer: its address, as ``accept()`` tells it
    """
    return f"{peer[0]} port {peer[1]}" if isinstance(peer, tuple) else "a unix socket"


@contextlib.contextmanager
def removing(addresses: Iterable[str]) -> Iterator[None]:
    """Remove the files of unix sockets at the end, unless another server owns them by then.

    :param addresses: what was given to :func:`bind_sockets`; an inherited socket's file is
        not this process's to remove
    """
    paths = [unix.parse(address) for address in addresses if address.startswith(unix.PREFIX)]
    files = [unix.file_at(path) for path in paths]
    try:
        yield
    finally:
        for file in files:
            unix.remove(file)


def _bind_one(
    address: str, family: int, share: bool, backlog: int | None = BACKLOG
) -> list[socket.socket]:
    host, port = parse(address)
    try:
        found = socket.getaddrinfo(
            host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise AddressUnavailable(
            f"Cannot listen on {address}: the host {host!r} is not known here "
            f"({getattr(error, 'strerror', None) or error}). Use a name or address of this machine"
        ) from error
    targets = list(dict.fromkeys((info[0], info[4]) for info in found))
    sockets: list[socket.socket] = []
    passed_over: OSError | None = None
    for kind, target in targets:
        taken = sockets[0].getsockname()[1] if sockets else port
        try:
            sockets.append(_listen(kind, (target[0], taken, *target[2:]), share, backlog))
        except OSError as error:
            if error.errno in _NO_SUCH_ADDRESS and len(targets) > 1:
                passed_over = error
                continue
            _close(sockets)
            raise AddressUnavailable(_explain(address, port, error)) from error
    if not sockets and passed_over is not None:
        raise AddressUnavailable(_explain(address, port, passed_over)) from passed_over
    return sockets


def _listen(
    family: int, target: tuple[object, ...], share: bool, backlog: int | None
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Accepted sockets inherit it; without it an answer in two parts waits 40 ms for an ACK.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            # So that 0.0.0.0 and [::] may be listened on side by side on every system.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(target)
        if backlog is not None:
            sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _explain(address: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Cannot listen on {address}: port {port} is already in use, often by another "
            f"server of this project that still runs (to see which: lsof -i :{port}). "
            f"Stop that one, or take another port"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"Cannot listen on {address}: not permitted. Ports below 1024 are reserved for "
            f"privileged processes: take a higher one and put a proxy in front of it"
        )
    if error.errno in _NO_SUCH_ADDRESS:
        return (
            f"Cannot listen on {address}: this machine does not have that address. "
            f"Use 127.0.0.1, or 0.0.0.0 for all of its addresses"
        )
    return f"Cannot listen on {address}: {os.strerror(error.errno or 0)}"


def _close(sockets: Iterable[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
