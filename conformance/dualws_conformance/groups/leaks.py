"""Nothing is left of what has ended: memory, descriptors, threads, greenlets stay flat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dualws_conformance import frames
from dualws_conformance.kit import Kit
from dualws_conformance.model import STYLES, add, fail
from dualws_conformance.promises import END
from dualws_conformance.timing import PATIENCE, settled
from dualws_conformance.wire import Client

GROUP = "leaks"
#: How often each is done, and before it to warm the server up.
COUNT, WARM = 10_000, 1_500
QUICK = 400
#: How much more may be held afterwards: caches and allocators breathe.
ALLOWED = {"descriptors": 3, "threads": 20, "greenlets": 10, "connections": 0}
MEMORY = 6 << 20
#: How much an allocator may keep once, of what was needed at one time.
ONCE = 4 * MEMORY
#: How often memory must grow in a row to count as leaking.
_AGAIN = 3
#: Most clients that come without waiting for those before them.
_CROWD = 25


def _connect(kit: Kit, path: str) -> Client:
    client = kit.server.connect()
    client.request(
        "GET",
        path,
        *(("Host", kit.host), ("Upgrade", "websocket"), ("Connection", "Upgrade")),
        *(("Sec-WebSocket-Key", frames.new_key()), ("Sec-WebSocket-Version", "13")),
    )
    return client


def _answer(client: Client, status: bytes) -> None:
    data = client.read(12)
    if data[9:12] != status:
        fail(f"the server answered {data!r} where {status.decode()} was expected")


def connects(kit: Kit, number: int) -> None:
    """A websocket with an echo; every other one is not closed but dropped."""
    with _connect(kit, kit.path("echo")) as client:
        _answer(client, b"101")
        while b"\r\n\r\n" not in client.pending:
            client.fill()
        client.read(client.pending.index(b"\r\n\r\n") + 4)
        client.send(frames.text("x"))
        client.read(3)
        if number % 2:
            client.send(frames.closing(1000))
            client.read_to_end()


def refused(kit: Kit, number: int) -> None:
    """A handshake that is refused by the view, or is none."""
    path = "/status/403/" if number % 2 else kit.path("echo")
    with kit.server.connect() as client:
        if number % 2:
            client.close()
            client = _connect(kit, path)
            _answer(client, b"403")
            client.close()
        else:
            fields = (("Host", kit.host), ("Upgrade", "websocket"), ("Connection", "Upgrade"))
            client.request("GET", path, *fields)
            _answer(client, b"400")


def violates(kit: Kit, number: int) -> None:
    """A websocket that is failed."""
    with _connect(kit, kit.path("echo")) as client:
        client.send(frames.build(frames.TEXT, b"x", mask=None))
        client.read_to_end()


def vanishes(kit: Kit, number: int) -> None:
    """A client that is gone before its handshake is answered."""
    _connect(kit, kit.path("echo")).reset()
    if not number % _CROWD:
        # It waits for no answer: without this the crowd that is served at a time, and the memory
        # that it takes, would be the larger the slower the machine is.
        requests(kit, number)


def requests(kit: Kit, number: int) -> None:
    """An ordinary request on a connection of its own."""
    with kit.server.connect() as client:
        client.request("GET", "/status/200/", ("Host", kit.host), ("Connection", "close"))
        _answer(client, b"200")


def flat(kit: Kit, act: Callable[[Kit, int], None], count: int) -> None:
    """What the server holds is the same after *count* acts as after the warming up.

    Memory that grows once may be an allocator's, which keeps what was needed at one time; a
    leak grows again. What follows the first growth shares one allowance, however often it is.
    """
    for number in range(min(WARM, count)):
        act(kit, number)
    before = _rest(kit)
    for again in range(_AGAIN):
        for number in range(count):
            act(kit, number)
        after: dict[str, Any] = {}

        def is_flat(before: dict[str, Any] = before, after: dict[str, Any] = after) -> bool:
            after.update(kit.state())
            return not _grown(before, after)

        settled(is_flat, 8 * PATIENCE)
        grown = _grown(before, after)
        if not all(what.startswith("memory") for what in grown):
            break
        if grown and after["memory"] > before["memory"] + ONCE:
            break
        if not grown:
            return
        if not again:
            before = after
    fail(f"after {(again + 1) * count} times the server holds more: {', '.join(grown)}")


def _rest(kit: Kit) -> dict[str, Any]:
    held: dict[str, Any] = {}

    def idle() -> bool:
        held.update(kit.state())
        return bool(held["connections"] == 0)

    settled(idle, 8 * PATIENCE)
    return held


def _grown(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    grown = [
        f"{name} {before[name]} -> {after[name]}"
        for name, allowed in ALLOWED.items()
        if before[name] is not None and after[name] > before[name] + allowed
    ]
    memory = before["memory"], after["memory"]
    if memory[0] is not None and memory[1] > memory[0] + MEMORY:
        grown.append(f"memory {memory[0] >> 10} KiB -> {memory[1] >> 10} KiB")
    return grown


for _act, _count, _what in (
    (connects, COUNT, "websockets"),
    (refused, COUNT, "refused handshakes"),
    (violates, COUNT // 10, "failed websockets"),
    (vanishes, COUNT // 10, "clients that vanish in their handshake"),
    (requests, COUNT // 10, "ordinary requests"),
):

    def leak(kit: Kit, act: Callable[[Kit, int], None] = _act, count: int = _count) -> None:
        flat(kit, act, QUICK if kit.quick else count)

    add(GROUP, f"{_act.__name__}-{_count}", END, f"{_count} {_what} leave nothing behind",
        leak, styles=("blocking",) if _act is not connects else STYLES, exclusive=True)  # fmt: skip
