"""What a message and a request may cost: calls of Python and C functions, and system calls.

Law: a figure here is a ceiling that was true when it was written. Faster code lowers it; code
that needs more must be worth it, and says so where it raises the figure.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from dualws.bench import wire
from support.server import LiveServer

#: Enough that what happens once (a timer, a full buffer) does not show.
MESSAGES = 400


@dataclass(frozen=True)
class Cost:
    """Most calls, of them system calls, for one message or request."""

    calls: float
    system_calls: float


#: core -> path, messages sent at a time -> what each may cost. What compiled code calls is not
#: counted, except for its system calls. On gevent a coroutine runs in a thread that no profile
#: function reaches: what the hub does for it is counted, and what is compiled: a third system call
#: where both threads have one. On Tornado a thread that reads for itself polls before each message.
ECHOES = {
    "compiled": {
        ("/echo/", 1): {"gevent": Cost(6.5, 2.1), "tornado": Cost(16.5, 3.1)},
        ("/echo/", 16): {"gevent": Cost(6.5, 0.2), "tornado": Cost(7.5, 0.3)},
        ("/async/echo/", 1): {"gevent": Cost(12.5, 3.1), "tornado": Cost(6.5, 2.1)},
        ("/async/echo/", 16): {"gevent": Cost(1.5, 0.3), "tornado": Cost(5, 0.2)},
        ("/events/echo/", 1): {"gevent": Cost(30, 2.1), "tornado": Cost(34, 2.1)},
    },
    "python": {
        ("/echo/", 1): {"gevent": Cost(42, 2.1), "tornado": Cost(44, 3.1)},
        ("/echo/", 16): {"gevent": Cost(26, 0.2), "tornado": Cost(26, 0.3)},
        ("/async/echo/", 1): {"gevent": Cost(30, 2.1), "tornado": Cost(49, 2.1)},
        ("/async/echo/", 16): {"gevent": Cost(8, 0.2), "tornado": Cost(27, 0.2)},
        ("/events/echo/", 1): {"gevent": Cost(52, 2.1), "tornado": Cost(56, 2.1)},
    },
}
#: core -> path -> what an echo of 1 KiB of JSON may cost that is compressed either way.
COMPRESSED = {
    "compiled": {
        "/echo/": {"gevent": Cost(9.5, 2.1), "tornado": Cost(19.5, 3.1)},
        "/async/echo/": {"gevent": Cost(12.5, 3.1), "tornado": Cost(9.5, 2.1)},
    },
    "python": {
        "/echo/": {"gevent": Cost(86, 2.1), "tornado": Cost(87, 3.1)},
        "/async/echo/": {"gevent": Cost(54, 2.1), "tornado": Cost(93, 2.1)},
    },
}
# On gevent a read asks first and waits then: once or twice, as the client is quick or not.
REQUESTS = {"gevent": Cost(730, 3.1), "tornado": Cost(985, 3.1)}

# Later Pythons put comprehensions into the function around them, and count otherwise.
pytestmark = pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="the figures are those of Python 3.11"
)


def cost_of(live: LiveServer, number: int, work: Callable[[], None]) -> Cost:
    """What *work*, which is *number* messages, costs for each: the least of three times, as timers
    that a busy machine lets run out, and the end of the connection that asked before, fall into
    some."""

    def counts() -> tuple[int, int]:
        told = live.get_json("/counts/")
        return told["calls"], told["system calls"]

    work()
    counts()
    found = []
    for _ in range(3):
        empty, before = counts(), counts()
        work()
        after = counts()
        # Asking costs as much as between the first two.
        found.append([after[i] - before[i] - (before[i] - empty[i]) for i in (0, 1)])
    calls, system_calls = (min(column) / number for column in zip(*found, strict=True))
    return Cost(calls, system_calls)


@pytest.mark.parametrize(("path", "at_once"), ECHOES["python"])
@pytest.mark.parametrize("core", ECHOES)
def test_an_echo_costs_no_more_than_it_did(
    backend: str, serve_app: Callable[..., LiveServer], core: str, path: str, at_once: int
) -> None:
    limit = ECHOES[core][path, at_once][backend]
    env = {"DUALWS_PURE_PYTHON": "1" if core == "python" else "0"}
    live = serve_app("support.counted:application", env=env)
    data = wire.payload(32)
    frames, answer = wire.masked(data, True) * at_once, wire.echoed(data, True) * at_once
    with live.connect() as client:
        client.send(wire.handshake(*live.address, path))
        assert client.read_head().status == 101

        def echo() -> None:
            for _ in range(MESSAGES // at_once):
                client.send(frames)
                assert client.read(len(answer)) == answer

        cost = cost_of(live, MESSAGES, echo)
    assert 0 < cost.calls <= limit.calls
    assert 0 < cost.system_calls <= limit.system_calls


@pytest.mark.parametrize("path", COMPRESSED["python"])
@pytest.mark.parametrize("core", COMPRESSED)
def test_a_compressed_echo_costs_no_more_than_it_did(
    backend: str, serve_app: Callable[..., LiveServer], core: str, path: str
) -> None:
    limit = COMPRESSED[core][path][backend]
    env = {"DUALWS_PURE_PYTHON": "1" if core == "python" else "0"}
    live = serve_app("support.counted:application", env=env)
    compressor = zlib.compressobj(wbits=-12)
    data = compressor.compress(wire.json_payload(1024)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    frame = wire.masked(data[:-4], True, compressed=True)
    with live.connect() as client:
        client.send(wire.handshake(*live.address, path, deflate=True))
        assert client.read_head().status == 101

        def echo() -> None:
            for _ in range(MESSAGES):
                client.send(frame)
                first, _, high, low = client.read(4)
                assert first == 0xC1
                client.read(high << 8 | low)

        cost = cost_of(live, MESSAGES, echo)
    assert 0 < cost.calls <= limit.calls
    assert 0 < cost.system_calls <= limit.system_calls


def test_a_request_costs_no_more_than_it_did(
    backend: str, serve_app: Callable[..., LiveServer]
) -> None:
    live = serve_app("support.counted:application")
    with live.connect() as client:

        def ask() -> None:
            for _ in range(MESSAGES):
                client.send(wire.request(*live.address, "/http/"))
                assert client.read_response().status == 200

        cost = cost_of(live, MESSAGES, ask)
    assert 0 < cost.calls <= REQUESTS[backend].calls
    assert 0 < cost.system_calls <= REQUESTS[backend].system_calls
