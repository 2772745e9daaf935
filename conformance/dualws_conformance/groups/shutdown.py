"""The end of a server: SIGTERM and SIGINT, with idle, busy and open clients."""

from __future__ import annotations

import signal
import time

from dualws_conformance.frames import closing
from dualws_conformance.kit import Kit
from dualws_conformance.model import STYLES, add, case, check, equal
from dualws_conformance.promises import SERVER_END
from dualws_conformance.timing import PATIENCE

GROUP = "shutdown"
#: Seconds that a server may take to end with everything open.
LIMIT = 6.0 * PATIENCE


def ends(kit: Kit, number: int | None = signal.SIGTERM) -> None:
    """The server ends in time, with exit code 0, and without a traceback.

    :param number: the signal to send; None when it has been sent
    """
    begin = time.monotonic()
    if number is not None:
        kit.server.signal(number)
    code = kit.server.wait()
    seconds = time.monotonic() - begin
    equal(code, 0, "the exit code after the signal")
    check(seconds < LIMIT, f"the server took {seconds:.1f} s to end, {LIMIT:g} are allowed")
    check(not kit.server.tracebacks(), f"it printed tracebacks: {kit.server.tracebacks()}")


for _signal in (signal.SIGTERM, signal.SIGINT):

    def idle(kit: Kit, number: int = _signal) -> None:
        kit.restart()
        client = kit.connect()
        client.request("GET", "/status/200/", ("Host", kit.host))
        client.response()
        ends(kit, number)
        client.expect_end()

    def websockets(kit: Kit, number: int = _signal) -> None:
        kit.restart()
        peers = [kit.open() for _ in range(10)]
        for peer in peers:
            peer.echo("open")
        kit.server.signal(number)
        for peer in peers:
            peer.expect_close(1001, 1012)
            peer.send(closing(1001))
            peer.client.expect_end()
        ends(kit, None)

    _slug = _signal.name.lower()
    add(GROUP, f"idle-{_slug}", SERVER_END, f"{_signal.name} ends a server with idle clients", idle)
    add(GROUP, f"websockets-{_slug}", "RFC 6455 7.4.1", f"{_signal.name} tells websockets (1001 or "
        "1012) and ends", websockets, styles=STYLES)  # fmt: skip


@case(GROUP, SERVER_END, "clients that do not answer the goodbye do not hold it up", styles=STYLES)
def silent_websockets(kit: Kit) -> None:
    kit.restart()
    for _ in range(5):
        kit.open().echo("open")
    ends(kit)


@case(GROUP, SERVER_END, "a request in progress gets its answer")
def request_in_progress(kit: Kit) -> None:
    kit.restart()
    key = kit.key()
    client = kit.connect()
    client.request("GET", f"/lasts/?key={key}&seconds=0.4", ("Host", kit.host))
    kit.notes(key)
    kit.server.signal(signal.SIGTERM)
    answer = client.response()
    equal(answer.body, b"lasted", "the answer of the request in progress")
    equal((answer.get("Connection") or "").lower(), "close", "its Connection field")
    ends(kit, None)


@case(GROUP, SERVER_END, "a busy handler does not hold up the end", styles=STYLES)
def busy_handler(kit: Kit) -> None:
    kit.restart()
    kit.open("busy", query=f"key={kit.key()}").expect("busy")
    ends(kit)


@case(GROUP, SERVER_END, "half a request does not hold up the end")
def half_a_request(kit: Kit) -> None:
    kit.restart()
    client = kit.connect()
    client.send(b"POST /echo/ HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
    equal(kit.get("/status/200/").status, 200, "the status")
    ends(kit)


@case(GROUP, SERVER_END, "after the signal no connection is accepted")
def not_accepted(kit: Kit) -> None:
    kit.restart()
    ends(kit)
    try:
        kit.connect()
    except OSError:
        return
    check(False, "the address still takes connections")
