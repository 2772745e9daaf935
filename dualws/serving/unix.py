"""Listening sockets that are files.

Law: *a file is replaced only when nobody listens on it*, and it is never open to more users
than it is to be in the end: until ``listen()`` nobody can connect, and by then it has its
mode.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from typing import NamedTuple

from dualws.errors import AddressUnavailable

PREFIX = "unix:"
#: permission bits when nobody says anything: the server's user and group
MODE = 0o660

#: seconds that another server has to take the connection that shows that it lives
_PATIENCE = 2.0


class File(NamedTuple):
    """A socket's file.

    :param path: where it is
    :param identity: device, inode and birth, which tell it from a later one at the same place; None
        when there is none
    """

    path: str
    identity: tuple[int, int, int] | None


def parse(address: str) -> str:
    """The path of ``unix:PATH``.

    :raises AddressUnavailable: there is none
    """
    path = address.removeprefix(PREFIX)
    # unix:///run/x.sock is how some clients write it.
    if path.startswith("//"):
        path = path[2:]
    if not path or "\0" in path:
        raise AddressUnavailable(f"{address!r} names no file. Write unix:/run/mysite.sock")
    return path


def listen(address: str, mode: int, backlog: int) -> socket.socket:
    """A listening socket at ``unix:PATH``; a file that a dead server has left is replaced.

    :param mode: permission bits of the file
    :param backlog: connections that the kernel keeps until they are accepted
    :raises AddressUnavailable: another server listens there, or the file cannot be made: its path
        is too long for the system, its folder is not there, or not this user's to write to
    """
    path = parse(address)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(address, path)
        sock.bind(path)
        os.chmod(path, mode)
        sock.listen(backlog)
    except OSError as error:
        sock.close()
        raise AddressUnavailable(_explain(address, path, error)) from error
    except BaseException:
        sock.close()
        raise
    return sock


def file_at(path: str) -> File:
    """The file that is at *path* now."""
    # Absolute: the application may change the folder meanwhile.
    return File(os.path.abspath(path), _identity(path))


def remove(file: File) -> None:
    """Remove *file*, unless another one has taken its place."""
    if file.identity is not None and _identity(file.path) == file.identity:
        with contextlib.suppress(OSError):
            os.unlink(file.path)


def _identity(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    # Numbers of removed files are used again, so its birth belongs to it; nothing changes that.
    return found.st_dev, found.st_ino, found.st_mtime_ns


def _remove_stale(address: str, path: str) -> None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise AddressUnavailable(
            f"Cannot listen on {address}: {path} is there and is no socket. "
            f"Remove it, or take another path"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PATIENCE)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return
        except TimeoutError:
            # Its queue of connections is full: it lives, if only just.
            pass
    raise AddressUnavailable(
        f"Cannot listen on {address}: another server listens on this file. "
        f"Stop that one, or take another path"
    )


def _explain(address: str, path: str, error: OSError) -> str:
    folder = os.path.dirname(path) or "."
    if error.errno == errno.ENOENT:
        return f"Cannot listen on {address}: there is no folder {folder}. Make it first"
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"Cannot listen on {address}: not permitted. The server's user must be allowed to "
            f"write into {folder}"
        )
    if error.errno is None or error.errno == errno.ENAMETOOLONG:
        return (
            f"Cannot listen on {address}: the path is too long for a socket (some 100 bytes). "
            f"Take a shorter one"
        )
    return f"Cannot listen on {address}: {os.strerror(error.errno)}"
