"""What the machine runs out of, and a wall clock that jumps, under a server that is in use."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.bystander import Bystander
from support.crowd import ask, open_socket
from support.frames import PING, PONG, TEXT, build, read_frame
from support.raw import RawClient
from support.server import TESTS, LiveServer, options
from support.timing import SCALE, TIMEOUT, eventually

Start = Callable[..., LiveServer]
APPLICATION = "support.faults_site"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of others are Linux's")


@contextlib.contextmanager
def limited(server: LiveServer, what: int, limit: int) -> Iterator[None]:
    """Lower a limit of the running server, and raise it again."""
    soft, hard = resource.prlimit(server.pid, what)
    resource.prlimit(server.pid, what, (limit, hard))
    try:
        yield
    finally:
        resource.prlimit(server.pid, what, (soft, hard))


def cpu_seconds(server: LiveServer) -> float:
    """What the server has used of the processor so far."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# -- descriptors -----------------------------------------------------------------------


def test_out_of_descriptors(serve_app: Start) -> None:
    server = serve_app(APPLICATION, "--threads", "2")
    with Bystander(server), contextlib.ExitStack() as closing:
        assert server.get("/state/").status == 200
        used = len(os.listdir(f"/proc/{server.pid}/fd"))
        with limited(server, resource.RLIMIT_NOFILE, used + 4):
            # The kernel takes them; the server cannot.
            waiting = [closing.enter_context(server.connect()) for _ in range(20)]
            assert server.stderr.wait_for("raise the limit of open files")
            before = cpu_seconds(server)
            lines = server.stderr.position
            # The very thing that is measured: a second in which nothing can be accepted.
            time.sleep(SCALE)
            assert cpu_seconds(server) - before < 0.5 * SCALE
            assert server.stderr.position - lines < 10
        # Those that waited are served as soon as there is something to hold them with.
        for client in waiting:
            client.send_request("GET", "/size/", ("Host", server.netloc))
            assert client.read_response().status == 200
    assert server.get("/size/").status == 200


def test_descriptors_that_come_back_are_used_without_a_new_limit(serve_app: Start) -> None:
    server = serve_app(APPLICATION, "--threads", "2")
    assert server.get("/state/").status == 200
    used = len(os.listdir(f"/proc/{server.pid}/fd"))
    with limited(server, resource.RLIMIT_NOFILE, used + 4):
        clients = [server.connect() for _ in range(12)]
        assert server.stderr.wait_for("raise the limit of open files")
        for client in clients:
            client.close()
        with Bystander(server):
            assert server.get("/size/").status == 200


# -- the disk --------------------------------------------------------------------------


def upload(server: LiveServer, size: int, *, chunked: bool = False) -> RawClient:
    """A connection with a request whose body is on its way, or was refused meanwhile."""
    client = server.connect()
    head = [("Host", server.netloc), ("Content-Type", "application/octet-stream")]
    if chunked:
        client.send_request("POST", "/size/", *head, ("Transfer-Encoding", "chunked"))
        data = b"%x\r\n%b\r\n0\r\n\r\n" % (size, bytes(size))
    else:
        client.send_request("POST", "/size/", *head, ("Content-Length", str(size)))
        data = bytes(size)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        client.send(data)
    return client


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [70_000, 400_000])
def test_a_body_that_the_disk_does_not_take(serve_app: Start, chunked: bool, size: int) -> None:
    # 70,000 bytes fail only when the last buffer of the file is written.
    server = serve_app(APPLICATION, "--spool-size", "1000")
    with Bystander(server):
        with limited(server, resource.RLIMIT_FSIZE, 68_000):
            for _ in range(2):
                with upload(server, size, chunked=chunked) as client:
                    assert client.read_response().status == 507
            assert server.stderr.wait_for("cannot be kept on disk: File too large")
            # Smaller ones are taken all the same.
            with upload(server, 60_000, chunked=chunked) as client:
                assert client.read_response().body == b"60000"
        with upload(server, size, chunked=chunked) as client:
            assert client.read_response().body == str(size).encode()


def test_no_folder_for_bodies(serve_app: Start, tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    server = serve_app(APPLICATION, "--spool-size", "1000", env={"TMPDIR": str(folder)})
    with Bystander(server):
        with upload(server, 70_000) as client:
            assert client.read_response().body == b"70000"
        folder.rmdir()
        with upload(server, 70_000) as client:
            assert client.read_response().status == 507
        assert server.stderr.wait_for("cannot be kept on disk: No such file")
        folder.mkdir()
        with upload(server, 70_000) as client:
            assert client.read_response().body == b"70000"


# -- the clock -------------------------------------------------------------------------

DAY = 86_400
MOVED_CLOCK = {"PYTHONPATH": f"{TESTS / 'support' / 'moved_clock'}{os.pathsep}{TESTS}"}


@pytest.mark.parametrize("by", [DAY, -DAY])
def test_a_clock_that_jumps_moves_no_timer(serve_app: Start, by: int) -> None:
    times = options(
        ping_interval=SCALE,
        ping_timeout=2 * TIMEOUT,
        header_timeout=4 * SCALE,
        http_idle_timeout=2 * TIMEOUT,
        auth_recheck=0,
    )
    server = serve_app(APPLICATION, *times, env=MOVED_CLOCK)
    with (
        open_socket(server, "/echo/") as quiet,
        server.connect() as idle,
        server.connect() as slow,
        open_socket(server, "/echo/") as silent,
    ):
        idle.send_request("GET", "/size/", ("Host", server.netloc))
        assert idle.read_response().status == 200
        begun = time.monotonic()
        slow.send(b"GET /size/ HTTP/1.1\r\n")
        moved = float(server.get("/clock/", by=by).body)
        assert abs(moved - time.time() - by) < DAY / 2
        slow.send(b"X-More: of it\r\n")
        # Nobody's time is over at once, and what is due comes in its time.
        assert talks(quiet)
        idle.send_request("GET", "/size/", ("Host", server.netloc))
        assert idle.read_response().status == 200
        slow.assert_open()
        assert read_frame(silent).opcode == PING
        assert slow.read_response().status == 408
        assert time.monotonic() - begun < TIMEOUT
        assert talks(quiet)
        assert talks(silent)


def talks(client: RawClient) -> bool:
    """Whether the echo answers; pings that come meanwhile are answered."""
    client.send(build(TEXT, b"hello"))
    while (frame := read_frame(client)).opcode == PING:
        client.send(build(PONG, frame.payload))
    return frame.payload == b"hello"


def test_a_process_waits_for_no_wall_clock(serve_app: Start) -> None:
    server = serve_app(APPLICATION, env=MOVED_CLOCK)
    with open_socket(server, "/echo/") as client:
        for by in (DAY, -DAY, 0):
            server.get("/clock/", by=by)
            assert ask(client, b"hello") == "hello"
    server.signal(signal.SIGTERM)
    begun = time.monotonic()
    eventually(lambda: not server.running, what="it does not end")
    assert time.monotonic() - begun < TIMEOUT
