"""The load: one epoll loop that does nothing but receive, count and send bytes made before.

Law: it must not be what is measured. It parses nothing: a server's answers are one periodic
sequence of bytes, known beforehand, so a message costs a ``recv``, a comparison and a
``send``. Whether it kept up is part of what it reports. It runs in a process of its own:
``python -m benchmarks.load SPEC``, where SPEC and what it prints are JSON.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

import click

from benchmarks import cpu, wire
from benchmarks.errors import BenchmarkError
from benchmarks.result import Turn

_READ = 256 * 1024
#: Longer pieces are compared with what is expected only now and then.
_COMPARED = 4096
_COMPARE_EVERY = 16
#: Different masking keys that go around, and the most memory that they may take.
_KEYS = 64
_KEYS_SIZE = 1 << 20
#: Seconds for a connection or a goodbye.
_PATIENCE = 10.0

_IN = select.EPOLLIN if hasattr(select, "epoll") else 1
_OUT = select.EPOLLOUT if hasattr(select, "epoll") else 4


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One turn of the load.

    :param host: address of the server
    :param port: its port
    :param path: path of the websocket
    :param raw: bytes are echoed, there is no websocket
    :param pid: the server's process
    :param server_core: the core it is pinned to
    :param core: core for the load
    :param connections: see ``Workload``
    :param size: see ``Workload``
    :param in_flight: see ``Workload``
    :param text: see ``Workload``
    :param seconds: length of the measured time
    :param warm_up: seconds before it
    """

    host: str
    port: int
    path: str
    raw: bool
    pid: int
    server_core: int | None
    core: int | None
    connections: int
    size: int
    in_flight: int
    text: bool
    seconds: float
    warm_up: float


class Frames:
    """What every connection sends, and what it must get back."""

    def __init__(self, spec: Spec) -> None:
        data = wire.payload(spec.size)
        self.echo = wire.echoed(data, spec.text)
        kinds = max(1, min(_KEYS, _KEYS_SIZE // len(self.echo)))
        ring = [self.echo if spec.raw else wire.masked(data, spec.text) for _ in range(kinds)]
        self.ring = ring
        self.size = len(ring[0])
        # Long enough to take in_flight frames from anywhere in the ring.
        self.joined = memoryview(b"".join(ring * (spec.in_flight // kinds + 2)))
        #: the periodic answer, long enough for one recv from any position
        self.answer = self.echo * (_READ // len(self.echo) + 2)


class Connection:
    """One connection: what is on its way, and where in the answer it stands."""

    __slots__ = (
        "_frames",
        "_latencies",
        "_next",
        "_pieces",
        "_position",
        "_recv",
        "_rest",
        "_send",
        "count",
        "sent",
        "sock",
    )

    def __init__(self, sock: socket.socket, frames: Frames, latencies: list[float]) -> None:
        self.sock = sock
        self._recv = sock.recv
        self._send = sock.send
        self._frames = frames
        self._latencies = latencies
        self._position = 0
        self._next = 0
        self._pieces = 0
        self._rest: deque[memoryview] = deque()
        #: answers since the window began
        self.count = 0
        #: when each message that is on its way was sent
        self.sent: deque[float] = deque()

    def receive(self) -> bool:
        """Take what has come and send as many messages; whether some could not be sent whole."""
        data = self._recv(_READ)
        frames = self._frames
        if data == frames.echo and not self._position:
            done = 1
        else:
            self._compare(data)
            done, self._position = divmod(self._position + len(data), len(frames.echo))
            if not done:
                return False
        now = time.perf_counter()
        sent = self.sent
        for _ in range(done):
            self._latencies.append(now - sent.popleft())
        self.count += done
        return self.post(done, now)

    def post(self, number: int, now: float) -> bool:
        """Send *number* messages; whether some could not be sent whole."""
        frames = self._frames
        first = self._next
        self._next = (first + number) % len(frames.ring)
        for _ in range(number):
            self.sent.append(now)
        if number == 1 and not self._rest:
            frame = frames.ring[first]
            try:
                sent = self._send(frame)
            except BlockingIOError:
                sent = 0
            if sent == frames.size:
                return False
            self._rest.append(memoryview(frame)[sent:])
            return True
        size = frames.size
        self._rest.append(frames.joined[first * size : (first + number) * size])
        return self.flush()

    def flush(self) -> bool:
        """Send what is left over; whether there still is some."""
        rest = self._rest
        while rest:
            try:
                sent = self._send(rest[0])
            except BlockingIOError:
                return True
            if sent < len(rest[0]):
                rest[0] = rest[0][sent:]
                return True
            rest.popleft()
        return False

    def _compare(self, data: bytes) -> None:
        if not data:
            raise BenchmarkError("the server closed a connection in the middle of the load")
        self._pieces += 1
        if len(data) > _COMPARED and self._pieces % _COMPARE_EVERY:
            return
        position = self._position
        if self._frames.answer[position : position + len(data)] != data:
            raise BenchmarkError(f"the server did not echo what was sent: {data[:64]!r}")


def open_connections(spec: Spec) -> list[socket.socket]:
    """Connected sockets, past the handshake."""
    sockets = []
    for _ in range(spec.connections):
        sock = socket.create_connection((spec.host, spec.port), _PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not spec.raw:
            sock.sendall(wire.handshake(spec.host, spec.port, spec.path))
            head = b""
            while b"\r\n\r\n" not in head:
                data = sock.recv(4096)
                if not data:
                    raise BenchmarkError(f"the handshake had no answer: {head!r}")
                head += data
            if not head.startswith(b"HTTP/1.1 101 ") or not head.endswith(b"\r\n\r\n"):
                raise BenchmarkError(f"the handshake was not accepted: {head!r}")
        sock.setblocking(False)
        sockets.append(sock)
    return sockets


def close_connections(sockets: Iterable[socket.socket], raw: bool) -> None:
    """Say goodbye, so that the server's next turn begins without this one's sockets."""
    for sock in sockets:
        sock.settimeout(_PATIENCE)
        try:
            if raw:
                sock.shutdown(socket.SHUT_WR)
            else:
                sock.sendall(wire.CLOSE)
            while sock.recv(_READ):
                pass
        except OSError:
            pass
        sock.close()


class Load:
    """One turn.

    :param spec: what to do
    """

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._latencies: list[float] = []
        frames = Frames(spec)
        self._sockets = open_connections(spec)
        self._poll = select.epoll()
        self._connections: dict[int, Connection] = {}
        for sock in self._sockets:
            connection = Connection(sock, frames, self._latencies)
            self._connections[sock.fileno()] = connection
            self._poll.register(sock.fileno(), _IN)

    def run(self) -> Turn:
        """Warm up, measure, say goodbye."""
        spec = self._spec
        now = time.perf_counter()
        for fd, connection in self._connections.items():
            if connection.post(spec.in_flight, now):
                self._poll.modify(fd, _IN | _OUT)
        self._drive(spec.warm_up)
        self._latencies.clear()
        for connection in self._connections.values():
            connection.count = 0
        server, core = cpu.of_process(spec.pid), cpu.of_core(spec.server_core)
        own, own_core = time.process_time(), cpu.of_core(spec.core)
        seconds = self._drive(spec.seconds)
        server = _since(server, cpu.of_process(spec.pid))
        core = _since(core, cpu.of_core(spec.server_core))
        own = time.process_time() - own
        own_core = _since(own_core, cpu.of_core(spec.core))
        turn = self._turn(seconds, server, _beyond(core, server), own, _beyond(own_core, own))
        # A close frame goes between frames, never into one.
        for fd, connection in self._connections.items():
            self._poll.unregister(fd)
            connection.sock.settimeout(_PATIENCE)
            connection.flush()
        close_connections(self._sockets, spec.raw)
        return turn

    def _drive(self, seconds: float) -> float:
        """Keep messages going for *seconds*; how long it really was."""
        connections = self._connections
        poll = self._poll.poll
        clock = time.perf_counter
        begin = clock()
        end = begin + seconds
        while clock() < end:
            for fd, event in poll(0.1):
                connection = connections[fd]
                left = event & _OUT and connection.flush()
                if event != _OUT:
                    left = connection.receive() or left
                if left:
                    self._poll.modify(fd, _IN | _OUT)
                elif event & _OUT:
                    self._poll.modify(fd, _IN)
        return clock() - begin

    def _turn(
        self,
        seconds: float,
        server: float | None,
        beside_server: float | None,
        own: float,
        beside_load: float | None,
    ) -> Turn:
        now = time.perf_counter()
        counts = [connection.count for connection in self._connections.values()]
        messages = sum(counts)
        latencies = sorted(self._latencies)
        # One that never came back is late too.
        waiting = [now - sent for peer in self._connections.values() for sent in peer.sent]
        return Turn(
            messages=messages,
            seconds=seconds,
            server_cpu=server,
            load_cpu=own,
            beside_server=beside_server,
            beside_load=beside_load,
            worst_share=min(counts) * len(counts) / messages if messages else 0.0,
            p50=latencies[len(latencies) // 2] if latencies else seconds,
            p99=latencies[len(latencies) * 99 // 100] if latencies else seconds,
            slowest=max(latencies[-1:] + waiting),
        )


def _beyond(core: float | None, ours: float | None) -> float | None:
    return None if core is None or ours is None else max(0.0, core - ours)


def _since(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def main(arguments: list[str]) -> int:
    """Run the turn that the first argument describes and print what it showed."""
    if not hasattr(select, "epoll"):
        click.echo("the load needs epoll: run it on Linux", err=True)
        return 2
    fields: dict[str, Any] = json.loads(arguments[0])
    spec = Spec(**fields)
    cpu.pin(spec.core)
    gc.disable()
    try:
        turn = Load(spec).run()
    except (BenchmarkError, OSError) as error:
        click.echo(str(error), err=True)
        return 1
    click.echo(json.dumps(dataclasses.asdict(turn)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
