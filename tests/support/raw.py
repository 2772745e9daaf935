"""A strict HTTP/1.1 client on a bare socket: it sends any bytes and reads only correct ones.

Law: whatever a server sends that RFC 9112 does not allow raises :class:`ProtocolViolation`; the
client never repairs, guesses or resends. It knows nothing of the server under test.
"""

from __future__ import annotations

import dataclasses
import re
import socket
import struct
from types import TracebackType

from support.timing import QUIET, TIMEOUT

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2}) ([\t \x21-\x7e\x80-\xff]*)")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")


class ProtocolViolation(AssertionError):
    """The server sent what HTTP does not allow."""


class ConnectionEnded(EOFError):
    """The server closed the connection where a response, or more of one, was to come."""


@dataclasses.dataclass(frozen=True)
class Head:
    """Status line and fields of a response, as they came."""

    version: str
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]

    def all(self, name: str) -> list[str]:
        """Every value of a field, in order."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        """The only value of a field, or None.

        :raises ProtocolViolation: it was sent more than once
        """
        values = self.all(name)
        if len(values) > 1:
            raise ProtocolViolation(f"{name} was sent {len(values)} times: {values}")
        return values[0] if values else None


@dataclasses.dataclass(frozen=True)
class Response(Head):
    """A whole response. *chunks* has the pieces of a chunked body."""

    body: bytes
    chunks: tuple[bytes, ...] = ()


class RawClient:
    """One TCP connection.

    :param address: host and port
    :param receive_buffer: size of the socket's receive buffer in bytes; default the system's
    :param source: address to come from
    """

    def __init__(
        self,
        address: tuple[str, int],
        receive_buffer: int | None = None,
        source: str | None = None,
    ) -> None:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source is not None:
            self.sock.bind((source, 0))
        self.sock.settimeout(TIMEOUT)
        try:
            self.sock.connect(address)
        except BaseException:
            self.sock.close()
            raise
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # -- sending -------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.sock.sendall(data)

    def send_request(
        self,
        method: str,
        target: str,
        *headers: tuple[str, str],
        body: bytes = b"",
        version: str = "HTTP/1.1",
    ) -> None:
        """Send a request with exactly these headers; nothing is added."""
        lines = [f"{method} {target} {version}", *(f"{key}: {value}" for key, value in headers)]
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    # -- reading -------------------------------------------------------------------

    def fill(self) -> bool:
        """Wait for more bytes; False when the server has closed."""
        data = self.sock.recv(65536)
        self._buffer += data
        return bool(data)

    def read(self, size: int) -> bytes:
        """Exactly *size* bytes.

        :raises ConnectionEnded: the server closed before
        """
        while len(self._buffer) < size:
            if not self.fill():
                raise ConnectionEnded(f"after {len(self._buffer)} of {size} bytes")
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def read_line(self, limit: int = 65536) -> bytes:
        """A line that ends with CRLF, without it.

        :raises ConnectionEnded: the server closed before
        :raises ProtocolViolation: a bare CR or LF
        """
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > limit:
                raise ProtocolViolation(f"no line end in {limit} bytes")
            if not self.fill():
                raise ConnectionEnded(f"in a line: {bytes(self._buffer)!r}")
        line = self.read(end + 1)
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise ProtocolViolation(f"line ends wrongly: {line!r}")
        return line[:-2]

    def read_to_end(self) -> bytes:
        """All that comes until the server closes."""
        while self.fill():
            pass
        return self.read(len(self._buffer))

    def read_head(self) -> Head:
        """Status line and header section; also of an interim (1xx) response.

        :raises ConnectionEnded: the server closed instead
        """
        line = self.read_line()
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            raise ProtocolViolation(f"status line {line!r}")
        headers = []
        while line := self.read_line():
            field = _FIELD.fullmatch(line)
            if field is None:
                raise ProtocolViolation(f"header line {line!r}")
            headers.append((field[1].decode("latin-1"), field[2].decode("latin-1")))
        return Head(
            f"HTTP/1.{match[1].decode()}", int(match[2]), match[3].decode("latin-1"), tuple(headers)
        )

    def read_chunk(self) -> bytes:
        """One chunk; empty for the last one, whose (absent) trailers are read too."""
        line = self.read_line()
        if re.fullmatch(rb"[0-9A-Fa-f]{1,16}", line) is None:
            raise ProtocolViolation(f"chunk size {line!r}")
        data = self.read(int(line, 16))
        if (end := self.read(2)) != b"\r\n":
            raise ProtocolViolation(f"chunk is followed by {end!r}")
        return data

    def read_body(self, head: Head, method: str = "GET") -> tuple[bytes, tuple[bytes, ...]]:
        """The body that belongs to *head* (RFC 9112 section 6.3), and its chunks."""
        coding = head.get("Transfer-Encoding")
        length = head.get("Content-Length")
        if coding is not None and length is not None:
            raise ProtocolViolation("both Transfer-Encoding and Content-Length")
        if head.status < 200 or head.status == 204:
            if coding is not None or length is not None:
                raise ProtocolViolation(f"a {head.status} with a length: {head}")
            return b"", ()
        if method == "HEAD" or head.status == 304:
            return b"", ()
        if coding is not None:
            if coding.lower() != "chunked":
                raise ProtocolViolation(f"Transfer-Encoding: {coding}")
            chunks = []
            while chunk := self.read_chunk():
                chunks.append(chunk)
            return b"".join(chunks), tuple(chunks)
        if length is not None:
            if re.fullmatch(r"[0-9]+", length) is None:
                raise ProtocolViolation(f"Content-Length: {length}")
            return self.read(int(length)), ()
        return self.read_to_end(), ()

    def read_response(self, method: str = "GET") -> Response:
        """A whole response to *method*; interim responses are not skipped."""
        head = self.read_head()
        body, chunks = self.read_body(head, method)
        return Response(head.version, head.status, head.reason, head.headers, body, chunks)

    # -- the end -------------------------------------------------------------------

    @property
    def pending(self) -> bytes:
        """What was received and not read."""
        return bytes(self._buffer)

    def assert_closed(self) -> None:
        """The server closes (or resets), and sends nothing more before it does."""
        try:
            rest = self.read_to_end()
        except ConnectionResetError:
            rest = bytes(self._buffer)
        assert rest == b"", f"bytes after the end: {rest!r}"

    def assert_open(self) -> None:
        """The server neither closes nor sends for a short while."""
        assert self._buffer == b"", f"bytes that nobody asked for: {self.pending!r}"
        self.sock.settimeout(QUIET)
        try:
            data = self.sock.recv(1)
        except TimeoutError:
            return
        finally:
            self.sock.settimeout(TIMEOUT)
        raise AssertionError(f"bytes that nobody asked for: {data!r}" if data else "closed")

    def finish_sending(self) -> None:
        """Send FIN: half-close."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close."""
        self.sock.close()

    def reset(self) -> None:
        """Vanish: close with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
