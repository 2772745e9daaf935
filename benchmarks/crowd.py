"""What a crowd of idle websockets costs: ``python -m benchmarks.crowd``, from a checkout, on Linux.

Law: the same hundred sockets are measured in two processes of one server, in turns: in one of
them they are alone, in the other they have the crowd around them. So whatever disturbs the
machine disturbs both, and the ratio of a turn's two figures is what counts. The load is paced:
each active socket sends a message every so often and its answer is timed, so what is seen is the
way of one message and not a queue that the load made.
"""

from __future__ import annotations

import dataclasses
import os
import re
import resource
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

import click

from dualws.bench import wire
from dualws.bench.contenders import APPS

HOST = "127.0.0.1"
PAYLOAD = b"x" * 32
_MESSAGE = b"\x81\xa0\x00\x00\x00\x00" + PAYLOAD
_ANSWER = b"\x81\x20" + PAYLOAD
#: Handshakes under way at a time.
_AT_ONCE = 64


@dataclasses.dataclass(frozen=True)
class Cost:
    """What the crowd of one server costs."""

    #: KiB of the process for each websocket
    memory: float
    #: handshakes a second, client and server sharing the machine
    handshakes: float


class Server:
    """dualws with the benchmarks' site, in a process of its own.

    :param backend: what it runs on
    :param path: path of its echo
    :param folder: an empty folder
    """

    def __init__(self, backend: str, path: str, folder: Path) -> None:
        self.path = path
        environ = {**os.environ, "PYTHONPATH": str(APPS), "BENCHMARK_FOLDER": str(folder)}
        words = ["serve", "dualws_site.wsgi", "--backend", backend, "--bind", f"{HOST}:0"]
        # Silence for as long as the measurement takes: pings would be measured as well.
        words += ["--ping-interval", "3600"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dualws.serving.cli", *words],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        found = re.search(r"http://[\d.]+:(\d+)", said)
        if found is None:
            self.process.kill()
            raise click.ClickException(f"the server did not start: {said}")
        self.port = int(found[1])
        self.sockets: list[socket.socket] = []

    def pss(self) -> int:
        """KiB of memory that are this process's."""
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        found = re.search(r"^Pss:\s+(\d+) kB", text, re.M)
        assert found is not None
        return int(found[1])

    def open(self, count: int) -> Cost:
        """Open *count* websockets more."""
        before, start = self.pss(), time.perf_counter()
        for done in range(0, count, _AT_ONCE):
            fresh = [self._ask() for _ in range(min(_AT_ONCE, count - done))]
            for sock in fresh:
                self._finish(sock)
            self.sockets += fresh
        seconds = time.perf_counter() - start
        return Cost((self.pss() - before) / count, count / seconds)

    def _ask(self) -> socket.socket:
        sock = socket.create_connection((HOST, self.port), 60)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(wire.handshake(HOST, self.port, self.path))
        return sock

    def _finish(self, sock: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            data = sock.recv(4096)
            head += data
            if not data or not head.startswith(b"HTTP/1.1 101 "[: len(head)]):
                raise click.ClickException(f"no websocket: {head!r}")

    def stop(self) -> None:
        """End it at once; its sockets too."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        for sock in self.sockets:
            sock.close()


def latencies(sockets: list[socket.socket], seconds: float, pause: float) -> list[float]:
    """Seconds from message to answer, of every message; each socket sends one every *pause*."""
    poll = select.epoll()
    files = {sock.fileno(): sock for sock in sockets}
    for number in files:
        poll.register(number, select.EPOLLIN)
    found: list[float] = []
    begun = time.perf_counter()
    # Evenly over the pause, so that no two sockets send together.
    due = [(begun + pause * i / len(sockets), sock) for i, sock in enumerate(sockets)]
    sent: dict[int, deque[float]] = {number: deque() for number in files}
    under_way = 0
    while due or under_way:
        now = time.perf_counter()
        while due and due[0][0] <= now:
            when, sock = due.pop(0)
            sock.sendall(_MESSAGE)
            sent[sock.fileno()].append(time.perf_counter())
            under_way += 1
            if when + pause < begun + seconds:
                due.append((when + pause, sock))
        wait = max(0.0, due[0][0] - time.perf_counter()) if due else 1.0
        for number, _ in poll.poll(wait):
            answer = files[number].recv(4096)
            count = len(answer) // len(_ANSWER)
            if not count or answer != _ANSWER * count:
                raise click.ClickException(f"a wrong answer: {answer!r}")
            now = time.perf_counter()
            found += [now - sent[number].popleft() for _ in range(count)]
            under_way -= count
    poll.close()
    return found


def centile(values: list[float], share: float) -> float:
    """The value that *share* of all do not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


@click.command()
@click.option("--backend", required=True, help="The backend.")
@click.option(
    "--path", default="/echo/", show_default=True, help="/echo/, /async/echo/ or /events/echo/."
)
@click.option("--crowd", default=10_000, show_default=True, help="Websockets, the active included.")
@click.option("--active", default=100, show_default=True, help="Those that send.")
@click.option("--rounds", default=7, show_default=True, help="Turns of each process.")
@click.option("--seconds", default=3.0, show_default=True, help="Length of a turn.")
@click.option("--pause", default=0.1, show_default=True, help="Seconds between two messages.")
def main(
    backend: str, path: str, crowd: int, active: int, rounds: int, seconds: float, pause: float
) -> None:
    """Memory, handshakes and latency of a few active websockets in a crowd of idle ones."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder:
        servers = []
        try:
            for name, count in (("alone", active), ("crowd", crowd)):
                place = Path(folder, name)
                place.mkdir()
                server = Server(backend, path, place)
                servers.append(server)
                server.open(min(active, 100))  # what is made once is made now
                if count > len(server.sockets):
                    cost = server.open(count - len(server.sockets))
                    click.echo(
                        f"{count} websockets: {cost.memory:.1f} KiB each, "
                        f"{cost.handshakes:.0f} handshakes/s"
                    )
            seen: dict[float, list[list[float]]] = {0.5: [], 0.99: []}
            for turn in range(rounds + 1):
                both = [latencies(server.sockets[:active], seconds, pause) for server in servers]
                if turn:  # the first one warms up
                    for share, values in seen.items():
                        values.append([centile(times, share) * 1000 for times in both])
            for share, values in seen.items():
                alone, among = (statistics.median(column) for column in zip(*values, strict=True))
                ratio = statistics.median(there / here for here, there in values)
                click.echo(
                    f"p{share * 100:.0f}: {alone:.2f} ms alone, {among:.2f} ms in the crowd, "
                    f"ratio {ratio:.2f}"
                )
        finally:
            for server in servers:
                server.stop()


if __name__ == "__main__":
    main()
