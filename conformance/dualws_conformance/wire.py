"""A strict HTTP/1.1 client on a bare socket: it sends any bytes and reads only correct ones.

Law: what RFC 9112 does not allow a server to send is a failure, in one sentence; nothing
is repaired, guessed or sent again. Every byte of both directions is kept for the report.
"""

from __future__ import annotations

import dataclasses
import re
import socket
import struct
from types import TracebackType
from typing import Literal

from dualws_conformance.model import Failed, fail
from dualws_conformance.timing import QUIET, TIMEOUT
from dualws_conformance.tls import Tls, TlsSocket

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2}) ([\t \x21-\x7e\x80-\xff]*)")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")
#: Bytes of one entry of the transcript that are kept; its whole size is kept besides.
_KEPT = 512

Direction = Literal["sent", "received"]


@dataclasses.dataclass
class Entry:
    """Bytes that went one way without any going the other way between them."""

    direction: Direction
    size: int
    data: bytes

    def __str__(self) -> str:
        rest = f" … {self.size} bytes in all" if self.size > len(self.data) else ""
        return f"{self.direction}: {self.data!r}{rest}"


class Transcript:
    """What one connection sent and received."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, direction: Direction, data: bytes) -> None:
        """Keep *data*."""
        last = self.entries[-1] if self.entries else None
        if last is None or last.direction != direction:
            self.entries.append(Entry(direction, len(data), data[:_KEPT]))
            return
        last.data += data[: max(0, _KEPT - last.size)]
        last.size += len(data)


@dataclasses.dataclass(frozen=True)
class Head:
    """Status line and fields of a response, as they came."""

    version: str
    status: int
    reason: str
    fields: tuple[tuple[str, str], ...]

    def all(self, name: str) -> list[str]:
        """Every value of a field, in order."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        """The only value of a field, or None; several are a failure."""
        values = self.all(name)
        if len(values) > 1:
            fail(f"the response has {len(values)} {name} fields, one is allowed: {values}")
        return values[0] if values else None


@dataclasses.dataclass(frozen=True)
class Response(Head):
    """A whole response; *chunks* has the pieces of a chunked body."""

    body: bytes
    chunks: tuple[bytes, ...] = ()


class Ended(Failed):
    """The server closed the connection where more was to come."""


class Client:
    """One TCP connection.

    :param address: host and port
    :param transcript: keeps what goes through it
    :param receive_buffer: size of the socket's receive buffer in bytes; default the system's
    :param tls: speak TLS on it; the transcript has the plaintext
    """

    def __init__(
        self,
        address: tuple[str, int],
        transcript: Transcript | None = None,
        receive_buffer: int | None = None,
        tls: Tls | None = None,
    ) -> None:
        self.transcript = transcript or Transcript()
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock: socket.socket | TlsSocket = sock
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(TIMEOUT)
        try:
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                self.sock = tls.wrap(sock, address[0], TIMEOUT)
        except OSError:
            sock.close()
            raise
        self._buffer = bytearray()

    def __enter__(self) -> Client:
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
        """Send bytes as they are; a server that has closed meanwhile is no failure yet."""
        self.transcript.add("sent", data)
        try:
            self.sock.sendall(data)
        except TimeoutError:
            fail(f"the server did not read: {len(data)} bytes were not taken in {TIMEOUT:g} s")
        except ConnectionError:
            # What it said before it closed can still be read.
            pass

    def request(
        self,
        method: str,
        target: str,
        *fields: tuple[str, str],
        body: bytes = b"",
        version: str = "HTTP/1.1",
    ) -> None:
        """Send a request with exactly these fields; nothing is added."""
        lines = [f"{method} {target} {version}", *(f"{key}: {value}" for key, value in fields)]
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    def finish(self) -> None:
        """Send FIN: half-close."""
        self.sock.shutdown(socket.SHUT_WR)

    # -- reading -------------------------------------------------------------------

    @property
    def pending(self) -> bytes:
        """What was received and not read yet."""
        return bytes(self._buffer)

    def fill(self, what: str = "an answer") -> bool:
        """Wait for more bytes; False when the server has closed.

        :param what: what is waited for, should nothing come
        """
        try:
            data = self.sock.recv(1 << 18)
        except TimeoutError:
            fail(f"the server sent nothing for {TIMEOUT:g} s where {what} was expected")
        except ConnectionError:
            data = b""
        if data:
            self.transcript.add("received", data)
        self._buffer += data
        return bool(data)

    def read(self, size: int, what: str = "an answer") -> bytes:
        """Exactly *size* bytes."""
        while len(self._buffer) < size:
            if not self.fill(what):
                got = f" after {len(self._buffer)} of {size} bytes" if self._buffer else ""
                raise Ended(f"the server closed the connection{got} where {what} was expected")
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def read_line(self, what: str = "a line of a response") -> bytes:
        """A line that ends with CR LF, without it."""
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > 1 << 16:
                fail("the server sent a line of more than 64 KiB")
            if not self.fill(what):
                raise Ended(f"the server closed the connection where {what} was expected")
        line = self.read(end + 1)
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            fail(f"the server sent a line that does not end with CR LF alone: {line!r}")
        return line[:-2]

    def read_to_end(self) -> bytes:
        """All that comes until the server closes."""
        while self.fill("the end of the connection"):
            pass
        return self.read(len(self._buffer))

    def read_head(self) -> Head:
        """Status line and fields; of an interim (1xx) response too."""
        line = self.read_line("a response")
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            fail(f"the server sent a status line that is none: {line!r}")
        fields = []
        while line := self.read_line():
            field = _FIELD.fullmatch(line)
            if field is None:
                fail(f"the server sent a header field that is none: {line!r}")
            fields.append((field[1].decode("latin-1"), field[2].decode("latin-1")))
        version = f"HTTP/1.{match[1].decode()}"
        return Head(version, int(match[2]), match[3].decode("latin-1"), tuple(fields))

    def read_chunk(self) -> bytes:
        """One chunk; empty for the last, whose trailers must be absent."""
        line = self.read_line("a chunk")
        if re.fullmatch(rb"[0-9A-Fa-f]{1,16}", line) is None:
            fail(f"the server sent a chunk size that is none: {line!r}")
        data = self.read(int(line, 16), "the rest of a chunk")
        if (end := self.read(2)) != b"\r\n":
            fail(f"the server's chunk is followed by {end!r} instead of CR LF")
        return data

    def read_body(self, head: Head, method: str = "GET") -> tuple[bytes, tuple[bytes, ...]]:
        """The body that belongs to *head* (RFC 9112 section 6.3), and its chunks."""
        coding, length = head.get("Transfer-Encoding"), head.get("Content-Length")
        if coding is not None and length is not None:
            fail("the response has both Transfer-Encoding and Content-Length")
        if head.status < 200 or head.status == 204:
            if coding is not None or length is not None:
                fail(f"the {head.status} response announces a body, which it cannot have")
            return b"", ()
        if method == "HEAD" or head.status == 304:
            return b"", ()
        if coding is not None:
            if coding.lower() != "chunked":
                fail(f"the response has Transfer-Encoding: {coding}")
            chunks = []
            while chunk := self.read_chunk():
                chunks.append(chunk)
            return b"".join(chunks), tuple(chunks)
        if length is not None:
            if re.fullmatch(r"[0-9]+", length) is None:
                fail(f"the response has Content-Length: {length}")
            return self.read(int(length), "the rest of a body"), ()
        return self.read_to_end(), ()

    def response(self, method: str = "GET") -> Response:
        """A whole response to *method*; interim responses are not skipped."""
        head = self.read_head()
        body, chunks = self.read_body(head, method)
        return Response(head.version, head.status, head.reason, head.fields, body, chunks)

    def expect_end(self) -> None:
        """The server closes and sends nothing more before it does."""
        rest = self.read_to_end()
        if rest:
            fail(f"the server sent {rest[:80]!r} where it had to close the connection")

    def expect_silence(self) -> None:
        """The server neither closes nor sends for a short while."""
        if self._buffer:
            fail(f"the server sent what nobody asked for: {self.pending[:80]!r}")
        self.sock.settimeout(QUIET)
        try:
            data = self.sock.recv(4096)
        except TimeoutError:
            return
        except ConnectionError:
            data = b""
        finally:
            self.sock.settimeout(TIMEOUT)
        if data:
            self.transcript.add("received", data)
            fail(f"the server sent what nobody asked for: {data[:80]!r}")
        fail("the server closed a connection that it had to keep open")

    # -- the end -------------------------------------------------------------------

    def close(self) -> None:
        """Close."""
        self.sock.close()

    def reset(self) -> None:
        """Vanish: close with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
