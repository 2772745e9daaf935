"""What handlers do wrong, and clients on every byte of a handshake: the others notice nothing."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.bystander import Bystander
from support.crowd import ask, open_socket
from support.diary import Diary
from support.frames import CLOSE, TEXT, build, read_frame
from support.raw import RawClient
from support.server import LiveServer
from support.timing import TIMEOUT, eventually
from support.workers import Fleet

Start = Callable[..., LiveServer]
APPLICATION = "support.faults_site"
STYLES = ["blocking", "events", "async", "inside"]
#: What a handler may end with, and what the log must say of it.
ENDS = {
    "exit": "SystemExit",
    "recurse": "RecursionError",
    "nest": "RecursionError",
    "interrupted": "InterruptedError",
}
SETTINGS = '{"ROOT_URLCONF": "support.project.faults", "DUALWS_DRAIN_WINDOW": 0.5}'


@pytest.fixture
def server(share_app: Start) -> LiveServer:
    """A server that stays through all that goes wrong in it."""
    return share_app(APPLICATION)


@pytest.fixture
def fleet(backend: str, tmp_path: Path) -> Iterator[Callable[..., Fleet]]:
    """``fleet(workers=2, config=…)``: several processes, stopped after the test."""
    fleets: list[Fleet] = []

    def begin(**options: Any) -> Fleet:
        environ = {"DUALWS_TEST_SETTINGS": SETTINGS}
        fleets.append(Fleet(tmp_path, backend, application=APPLICATION, env=environ, **options))
        return fleets[-1]

    yield begin
    for each in fleets:
        each.stop()
        sys.stderr.write(each.text())


# -- handlers --------------------------------------------------------------------------


@pytest.mark.parametrize("how", ENDS)
def test_a_page_that_ends_badly(server: LiveServer, how: str) -> None:
    with Bystander(server):
        assert server.get(f"/page/{how}/").status == 500
    server.expect_traceback(ENDS[how])


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("how", ENDS)
def test_a_handler_that_ends_badly(server: LiveServer, style: str, how: str) -> None:
    with Bystander(server), open_socket(server, f"/{style}/") as client:
        client.send(build(TEXT, how.encode()))
        frame = read_frame(client)
        assert (frame.opcode, frame.close_code) == (CLOSE, 1011)
        client.send(build(CLOSE, frame.payload))
        client.assert_closed()
    server.expect_traceback(ENDS[how])


def test_the_stop_of_handlers_that_never_end_is_bounded(
    serve_app: Start, tmp_path: Path, backend: str
) -> None:
    server = serve_app(
        APPLICATION, "--drain-window", "0.5", "--close-timeout", "0.5", "--blocked-warning", "0"
    )
    clients = [open_socket(server, f"/{style}/") for style in STYLES]
    with Bystander(server):
        for client in clients:
            client.send(build(TEXT, b"never"))
        page = server.connect()
        page.send_request("GET", "/page/never/", ("Host", server.netloc))
        Diary(tmp_path).wait_for("never", len(STYLES) + 1)
    begun = time.monotonic()
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert time.monotonic() - begun < TIMEOUT / 2
    for client in (*clients, page):
        client.close()


def test_workers_of_a_killed_arbiter_end_whatever_their_handlers_do(
    fleet: Callable[..., Fleet], tmp_path: Path
) -> None:
    started = fleet(config="graceful_timeout = 2\n")
    workers = started.workers()
    with open_socket(started, "/blocking/") as client:
        client.send(build(TEXT, b"never"))
        Diary(tmp_path).wait_for("never")
        started.process.kill()
        started.process.wait()
        eventually(
            lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), what="they stay"
        )


def test_a_leak_ends_with_its_worker(fleet: Callable[..., Fleet]) -> None:
    started = fleet(workers=1, config="max_requests = 20\n")
    worst, served_by = 0, set()
    for _ in range(50):
        answer = started.get("/leak/")
        assert answer.status == 200
        pid, leaked = (int(word) for word in answer.body.strip(b"[]").split(b","))
        worst = max(worst, leaked)
        served_by.add(pid)
    # A few may come in between the last request that counts and the end of accepting.
    assert worst <= 25
    assert len(served_by) >= 2


def test_the_others_notice_nothing_of_a_killed_worker(fleet: Callable[..., Fleet]) -> None:
    started = fleet(workers=2)
    old = started.workers()
    clients: dict[int, list[RawClient]] = {}

    def has_both() -> bool:
        client = open_socket(started, "/echo/")
        clients.setdefault(int(ask(client, b"who")), []).append(client)
        return len(clients) == 2

    eventually(has_both, what="one worker serves all")
    victim, other = sorted(clients, key=lambda pid: len(clients[pid]))
    with Bystander(started, client=clients[other].pop()):
        started.signal(signal.SIGKILL, victim)
        for client in clients[victim]:
            with pytest.raises((ConnectionResetError, EOFError)):
                read_frame(client)
        started.wait_for_others(old)
        assert started.get("/state/").status == 200
    for client in clients[victim] + clients[other]:
        client.close()


# -- clients ---------------------------------------------------------------------------


def test_who_sends_without_end_to_a_client_that_has_gone(server: LiveServer) -> None:
    with Bystander(server):
        for _ in range(8):
            client = open_socket(server, "/endless/")
            read_frame(client)
            client.reset()
        _settled(server, {})


@pytest.mark.parametrize("end", ["fin", "rst"])
def test_a_client_that_breaks_on_any_byte_of_the_handshake(server: LiveServer, end: str) -> None:
    request = (
        f"GET /echo/ HTTP/1.1\r\nHost: {server.netloc}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode() + build(TEXT, b"hello")

    def break_everywhere() -> None:
        for cut in range(1, len(request) + 1):
            client = server.connect()
            client.send(request[:cut])
            if end == "rst":
                client.reset()
            else:
                client.close()

    with Bystander(server):
        break_everywhere()
        # What is made at the first of them, and kept, is no leak.
        before = _settled(server, {})
        break_everywhere()
        _settled(server, before)


def _settled(server: LiveServer, before: dict[str, int]) -> dict[str, int]:
    """What the server holds once it is idle; not more than *before*, a few threads aside."""
    held: dict[str, int] = {}

    def idle() -> bool:
        held.update(server.get_json("/state/"))
        return held["connections"] <= 1 and all(
            held[name] <= before[name] + allowed
            for name, allowed in (("descriptors", 1), ("threads", 16), ("greenlets", 2))
            if before and held[name] is not None
        )

    try:
        eventually(idle, what="it is not idle", timeout=2 * TIMEOUT)
    except AssertionError as error:
        error.add_note(f"it held {before}, and now {held}")
        raise
    return dict(held)
