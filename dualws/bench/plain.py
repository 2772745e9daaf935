"""The engine in Python: what ``engine.c`` does, for machines without a compiler.

Law: a message costs a ``recv``, a comparison and a ``send``, and nothing is made anew for it.
It tops out at some 40,000 messages a second; the report says so when that was the limit.
"""

from __future__ import annotations

import select
import socket
import time
from collections import deque

from dualws.bench.errors import BenchmarkError
from dualws.bench.plan import Latencies, Plan

_READ = 256 * 1024
#: Longer pieces are compared with what is expected only now and then.
_COMPARED = 4096
_COMPARE_EVERY = 16
#: Seconds for a connection or a goodbye.
_PATIENCE = 20.0

_IN = select.EPOLLIN if hasattr(select, "epoll") else 1
_OUT = select.EPOLLOUT if hasattr(select, "epoll") else 4


class _Shared:
    """What all connections of a load have in common."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.size = len(plan.ring[0])
        # Long enough to take in_flight messages from anywhere in the ring.
        kinds = len(plan.ring)
        self.joined = memoryview(b"".join(plan.ring * (plan.in_flight // kinds + 2)))
        # The periodic answer, long enough for one recv from any position.
        again = _READ // max(1, len(plan.answer)) + 2
        self.answer = plan.answer * again
        self.mask = int.from_bytes(plan.mask * again, "big") if plan.mask else None
        self.latencies: list[float] = []
        #: fan-out: when each round was sent, and how many connections have it
        self.rounds: deque[float] = deque()
        self.first_round = 0
        self.reached: deque[int] = deque()


class _Connection:
    """One connection: what is on its way, and where in the answer it stands."""

    def __init__(self, sock: socket.socket, shared: _Shared) -> None:
        self.sock = sock
        self._recv = sock.recv
        self._send = sock.send
        self._shared = shared
        self._position = 0
        self._next = 0
        self._pieces = 0
        self._rest: deque[memoryview] = deque()
        self._head = b""
        self._left = 0
        self._fin = False
        #: answers since the load began to count
        self.count = 0
        #: fan-out: rounds that have come
        self.round = 0
        #: when each message that is on its way was sent
        self.sent: deque[float] = deque()

    def receive(self) -> int:
        """Take what has come; how many answers that were."""
        data = self._recv(_READ)
        plan = self._shared.plan
        if not data:
            raise BenchmarkError("the server closed a connection in the middle of the load")
        if plan.framed:
            return self._walk(data)
        if data == plan.answer and not self._position:
            return 1
        self._compare(data)
        done, self._position = divmod(self._position + len(data), len(plan.answer))
        return done

    def answered(self, done: int, now: float) -> bool:
        """Note *done* answers and send as many; whether some could not be sent whole."""
        latencies, sent = self._shared.latencies, self.sent
        for _ in range(done):
            latencies.append(now - sent.popleft())
        self.count += done
        return self.post(done, now)

    def post(self, number: int, now: float) -> bool:
        """Send *number* messages; whether some could not be sent whole."""
        ring = self._shared.plan.ring
        first = self._next
        self._next = (first + number) % len(ring)
        if not self._shared.plan.fan_out:
            self.sent.extend([now] * number)
        if number == 1 and not self._rest:
            frame = ring[first]
            try:
                sent = self._send(frame)
            except BlockingIOError:
                sent = 0
            if sent == len(frame):
                return False
            self._rest.append(memoryview(frame)[sent:])
            return True
        size = self._shared.size
        self._rest.append(self._shared.joined[first * size : (first + number) * size])
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
        self._pieces += 1
        if len(data) > _COMPARED and self._pieces % _COMPARE_EVERY:
            return
        shared, position = self._shared, self._position
        expected = shared.answer[position : position + len(data)]
        if expected == data:
            return
        if shared.mask is not None:
            wanted = int.from_bytes(expected, "big") ^ int.from_bytes(data, "big")
            behind = (len(shared.answer) - position - len(data)) * 8
            if not wanted & (shared.mask >> behind):
                return
        raise BenchmarkError(f"the server did not answer what was expected: {data[:64]!r}")

    def _walk(self, data: bytes) -> int:
        """How many messages *data* completes, by their frames' headers (RFC 6455 section 5.2)."""
        done = position = 0
        while position < len(data) or self._head:
            if self._left:
                piece = min(self._left, len(data) - position)
                self._left -= piece
                position += piece
                if self._left:
                    return done
            else:
                length = self._head[1] if len(self._head) > 1 else 0
                want = {126: 4, 127: 10}.get(length, 2)
                more = want - len(self._head)
                self._head += data[position : position + more]
                position += more
                if len(self._head) < want:
                    return done
                if want == 2 and self._head[1] in (126, 127):
                    continue
                if self._head[0] & 0x0F == 0x8:
                    raise BenchmarkError("the server closed a websocket in the middle of the load")
                self._fin = self._head[0] & 0x88 == 0x80
                self._left = (
                    self._head[1] if want == 2 else int.from_bytes(self._head[2:want], "big")
                )
                self._head = b""
                if self._left:
                    continue
            # A control frame is no message; a fragment ends one only with FIN.
            done += self._fin
        return done


class Plain:
    """Runs *plan* in Python.

    :param plan: what to do
    """

    name = "Python"

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._shared = _Shared(plan)
        self._poll = select.epoll()
        self._connections: dict[int, _Connection] = {}

    def open(self) -> None:
        plan, opened = self._plan, self._shared.latencies
        while len(self._connections) < plan.connections:
            batch = []
            for _ in range(min(plan.at_once, plan.connections - len(self._connections))):
                began = time.perf_counter()
                sock = socket.create_connection((plan.host, plan.port), _PATIENCE)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if plan.opening:
                    sock.sendall(plan.opening_of(len(self._connections)))
                batch.append((sock, began))
                connection = _Connection(sock, self._shared)
                self._connections[sock.fileno()] = connection
            for sock, began in batch:
                if plan.opening:
                    self._answer_of_handshake(sock)
                opened.append(time.perf_counter() - began)
                sock.setblocking(False)
                self._poll.register(sock.fileno(), _IN)

    def _answer_of_handshake(self, sock: socket.socket) -> None:
        plan, head = self._plan, b""
        while b"\r\n\r\n" not in head or not head.endswith(plan.greeting):
            data = sock.recv(4096)
            if not data:
                raise BenchmarkError(f"the handshake had no whole answer: {head!r}")
            head += data
            if not head.startswith(plan.opened[: len(head)]):
                raise BenchmarkError(f"the handshake was not accepted: {head!r}")
        if head.partition(b"\r\n\r\n")[2] != plan.greeting:
            raise BenchmarkError(f"something unexpected followed the handshake: {head!r}")

    def start(self) -> None:
        plan, now = self._plan, time.perf_counter()
        for fd, connection in self._connections.items():
            if connection.post(plan.in_flight, now):
                self._poll.modify(fd, _IN | _OUT)
            if plan.fan_out:
                self._shared.rounds.extend([now] * plan.in_flight)
                self._shared.reached.extend([0] * plan.in_flight)
                break

    def drive(self, seconds: float) -> float:
        connections = self._connections
        poll = self._poll.poll
        clock = time.perf_counter
        fan_out = self._plan.fan_out
        begin = clock()
        end = begin + seconds
        while clock() < end:
            for fd, event in poll(0.05):
                connection = connections[fd]
                left = event & _OUT and connection.flush()
                if event != _OUT:
                    done = connection.receive()
                    if fan_out:
                        self._deliver(connection, done, clock())
                    elif done:
                        left = connection.answered(done, clock()) or left
                if left:
                    self._poll.modify(fd, _IN | _OUT)
                elif event & _OUT:
                    self._poll.modify(fd, _IN)
        return clock() - begin

    def _deliver(self, connection: _Connection, done: int, now: float) -> None:
        """Fan-out: *done* rounds have come on *connection*; send another for each complete one."""
        shared = self._shared
        connection.count += done
        for _ in range(done):
            index = connection.round - shared.first_round
            shared.latencies.append(now - shared.rounds[index])
            shared.reached[index] += 1
            connection.round += 1
        complete = 0
        while shared.reached[0] == len(self._connections):
            complete += 1
            shared.first_round += 1
            shared.rounds.popleft()
            shared.rounds.append(now)
            shared.reached.popleft()
            shared.reached.append(0)
        if complete:
            fd, sender = next(iter(self._connections.items()))
            if sender.post(complete, now):
                self._poll.modify(fd, _IN | _OUT)

    def clear(self) -> None:
        self._shared.latencies.clear()
        for connection in self._connections.values():
            connection.count = 0

    def counts(self) -> list[int]:
        return [connection.count for connection in self._connections.values()]

    def latencies(self) -> Latencies:
        now = time.perf_counter()
        latencies = sorted(self._shared.latencies)
        # One that never came back is late too.
        waiting = [now - sent for sent in self._shared.rounds]
        if not self._plan.fan_out:
            waiting = [now - sent for peer in self._connections.values() for sent in peer.sent]
        slowest = max(latencies[-1:] + waiting, default=0.0)
        return Latencies(
            p50=latencies[len(latencies) // 2] if latencies else slowest,
            p99=latencies[len(latencies) * 99 // 100] if latencies else slowest,
            slowest=slowest,
        )

    def close(self) -> None:
        goodbye = self._plan.goodbye
        # A close frame goes between frames, never into one.
        for fd, connection in self._connections.items():
            self._poll.unregister(fd)
            sock = connection.sock
            sock.settimeout(_PATIENCE)
            try:
                connection.flush()
                if goodbye:
                    sock.sendall(goodbye)
                else:
                    sock.shutdown(socket.SHUT_WR)
                while sock.recv(_READ):
                    pass
            except OSError:
                pass
            sock.close()

    def discard(self) -> None:
        for connection in self._connections.values():
            connection.sock.close()
        self._poll.close()
