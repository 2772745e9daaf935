"""The PROXY protocol, versions 1 and 2: the line or block before a connection's first byte.

Law: *it is there, whole and right, or the connection is over.* To guess whether it is there
would let anybody who reaches the port say where they come from. Bytes in, an answer out;
sockets are somebody else's.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import NamedTuple

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_LINE = b"PROXY "
#: Longest line of version 1, its CR LF included.
_LINE_LIMIT = 107
_HEADER = 16
#: Most that the block of version 2 may say after its header: addresses and a few fields.
_BLOCK_LIMIT = 4096
_V2_FAMILIES = {0x1: (socket.AF_INET, "!4s4sHH", 12), 0x2: (socket.AF_INET6, "!16s16sHH", 36)}
_V1_FAMILIES = {b"TCP4": 4, b"TCP6": 6}
#: The field that tells of TLS between client and proxy, and its bit for "the client used it".
_TYPE_SSL = 0x20
_CLIENT_SSL = 0x01
#: Most that a preamble takes.
PIECE = _HEADER + _BLOCK_LIMIT


class BadPreamble(Exception):
    """What came is not the PROXY protocol."""


class Preamble(NamedTuple):
    """What the proxy says.

    :param size: bytes of the preamble
    :param source: the client's address and port; None when the proxy speaks for itself
    :param destination: address and port that the client connected to
    :param secure: the client reached the proxy through TLS
    """

    size: int
    source: tuple[str, int] | None = None
    destination: tuple[str, int] | None = None
    secure: bool = False


def parse(data: bytes) -> Preamble | None:
    """The preamble at the beginning of *data*; None while more of it must come.

    :raises BadPreamble: it is not one, or one that is not complete within its limits
    """
    if data[: len(_SIGNATURE)] == _SIGNATURE[: len(data)]:
        return _parse_block(data)
    if data[: len(_LINE)] == _LINE[: len(data)]:
        return _parse_line(data)
    raise BadPreamble("the connection does not begin with the PROXY protocol")


def _parse_line(data: bytes) -> Preamble | None:
    end = data.find(b"\r\n", 0, _LINE_LIMIT)
    if end < 0:
        if len(data) >= _LINE_LIMIT:
            raise BadPreamble("a line of over 107 bytes")
        return None
    words = data[:end].split(b" ")
    size = end + 2
    if words[1] == b"UNKNOWN":
        return Preamble(size)
    version = _V1_FAMILIES.get(words[1])
    if version is None or len(words) != 6:
        raise BadPreamble("not PROXY TCP4 or TCP6 with two addresses and two ports")
    source, destination = (_address(word, version) for word in words[2:4])
    ports = [_port(word) for word in words[4:6]]
    return Preamble(size, (source, ports[0]), (destination, ports[1]))


def _address(word: bytes, version: int) -> str:
    try:
        address = ipaddress.ip_address(word.decode("ascii"))
    except ValueError as error:
        raise BadPreamble("an address that is none") from error
    if address.version != version:
        raise BadPreamble("an address of the other family")
    return str(address)


def _port(word: bytes) -> int:
    if not word.isdigit() or len(word) > 5 or int(word) > 65535 or (word[:1] == b"0" != word):
        raise BadPreamble("a port that is none")
    return int(word)


def _parse_block(data: bytes) -> Preamble | None:
    if len(data) < _HEADER:
        return None
    command, family = data[12], data[13]
    length = int.from_bytes(data[14:16], "big")
    if command >> 4 != 2 or command & 0x0F > 1:
        raise BadPreamble(f"version and command {command:#04x}")
    if length > _BLOCK_LIMIT:
        raise BadPreamble(f"a block of {length} bytes")
    size = _HEADER + length
    if len(data) < size:
        return None
    if not command & 0x0F:
        # LOCAL: the proxy itself, to see whether this server lives.
        return Preamble(size)
    block = data[_HEADER:size]
    known = _V2_FAMILIES.get(family >> 4)
    if family & 0x0F != 1 or known is None:
        # No TCP: the specification has it that the connection's own addresses count then.
        return Preamble(size)
    kind, form, used = known
    if length < used:
        raise BadPreamble("a block that is too short for its addresses")
    source, destination, source_port, destination_port = struct.unpack(form, block[:used])
    return Preamble(
        size,
        (socket.inet_ntop(kind, source), source_port),
        (socket.inet_ntop(kind, destination), destination_port),
        _is_secure(block[used:]),
    )


def _is_secure(fields: bytes) -> bool:
    secure = False
    while fields:
        if len(fields) < 3:
            raise BadPreamble("a field that is cut off")
        length = int.from_bytes(fields[1:3], "big")
        value = fields[3 : 3 + length]
        if len(value) < length:
            raise BadPreamble("a field that is cut off")
        if fields[0] == _TYPE_SSL and value:
            secure = bool(value[0] & _CLIENT_SSL)
        fields = fields[3 + length :]
    return secure
