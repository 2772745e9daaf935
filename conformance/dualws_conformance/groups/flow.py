"""Slow readers, slow writers and busy handlers: everybody waits for his own partner only."""

from __future__ import annotations

import time

from dualws_conformance import frames
from dualws_conformance.frames import PING
from dualws_conformance.kit import Kit
from dualws_conformance.model import STYLES, WAITING, case, check, equal, fail
from dualws_conformance.promises import BACKEND, LIMITS, RECEIVING, SENDING, STOPPING
from dualws_conformance.timing import TIMEOUT

GROUP = "flow"


def _drain(kit: Kit, key: str, count: int) -> None:
    kit.release(key)
    equal(len(kit.notes(key, count)), count, "the number of notes")


@case(GROUP, SENDING, "a client that reads slowly gets everything, in order", styles=WAITING)
def slow_reader(kit: Kit) -> None:
    client = kit.connect(receive_buffer=16384)
    # More than the system's buffers hold, so that some of it must wait in the server.
    peer = kit.open("sends", query="count=200&size=60000", client=client)
    # A client that reads as fast as the handler sends would never let them fill.
    others = kit.open()
    for number in range(100):
        others.echo(f"meanwhile {number}")
    for number in range(200):
        message = peer.message()
        assert isinstance(message, bytes)
        equal((len(message), int.from_bytes(message[:4], "big")), (60000, number), "the message")


@case(GROUP, SENDING, "a client that never reads stops its sender, and is closed in the end",
      styles=STYLES)  # fmt: skip
def never_reads(kit: Kit) -> None:
    key = kit.key()
    client = kit.connect(receive_buffer=16384)
    kit.open("sends", query=f"count=2000&size=100000&key={key}", client=client)
    (sent,) = kit.notes(key)
    check(sent < 500, f"{sent} messages of 100 kB were taken for a client that read none")
    kit.open().echo("others go on")


@case(GROUP, LIMITS, "a handler that does not receive stops its client: the inbox is bounded",
      styles=STYLES)  # fmt: skip
def bounded_inbox(kit: Kit) -> None:
    key = kit.key()
    peer = kit.open("busy", query=f"key={key}")
    peer.expect("busy")
    peer.client.sock.settimeout(0.5)
    message = frames.binary(bytes(60000))
    sent = 0
    try:
        while sent < 2000:
            peer.client.sock.sendall(message)
            sent += 1
    except TimeoutError:
        pass
    finally:
        peer.client.sock.settimeout(TIMEOUT)
    kit.release(key)
    check(sent < 1000, "a busy handler's client could send 120 MB: the inbox has no bound")


@case(GROUP, RECEIVING, "what waited for a busy handler arrives in order", styles=STYLES)
def waited(kit: Kit) -> None:
    key = kit.key()
    peer = kit.open("busy", query=f"key={key}")
    peer.expect("busy")
    messages = [f"message {number}" for number in range(300)]
    peer.send(*(frames.text(message) for message in messages))
    kit.release(key)
    peer.expect(*messages)


@case(GROUP, STOPPING, "a client that sends a byte at a time holds up nobody", styles=STYLES)
def slow_writer(kit: Kit) -> None:
    slow = [kit.open() for _ in range(10)]
    quick = kit.open()
    wire = frames.text("slow")
    for byte in wire:
        for peer in slow:
            peer.send(bytes((byte,)))
        quick.echo("quick")
    for peer in slow:
        peer.expect("slow")


@case(GROUP, "RFC 6455 5.5.3", "a flood of pings is not answered without end, and harms nobody",
      styles=STYLES)  # fmt: skip
def ping_flood(kit: Kit) -> None:
    peer = kit.open(client=kit.connect(receive_buffer=16384))
    peer.client.sock.settimeout(2)
    flood = frames.build(PING, bytes(125)) * 500
    try:
        for _ in range(60):
            peer.client.sock.sendall(flood)
    except TimeoutError:
        pass
    peer.client.sock.settimeout(TIMEOUT)
    kit.open().echo("others go on")


@case(GROUP, STOPPING, "one client that floods does not starve the others", styles=STYLES)
def fairness(kit: Kit) -> None:
    flooder = kit.open("gulp")
    other = kit.open()
    flood = frames.text("x") * 2000
    flooder.send(flood)
    begin = time.monotonic()
    other.echo("through")
    waited_for = time.monotonic() - begin
    for _ in range(2000):
        flooder.message()
    check(waited_for < TIMEOUT / 2, f"the other client waited {waited_for:.1f} s for its echo")


@case(GROUP, RECEIVING, "receive(timeout) raises TimeoutError and loses nothing", styles=WAITING)
def receive_timeout(kit: Kit) -> None:
    peer = kit.open("waits")
    peer.expect("nothing came")
    peer.text("late")
    peer.expect("late")
    peer.expect_close(1000)


@case(GROUP, BACKEND, "many websockets at a time, each with its own messages", styles=STYLES)
def many(kit: Kit) -> None:
    peers = [kit.open() for _ in range(100)]
    for number, peer in enumerate(peers):
        peer.text(f"message {number}")
    for number, peer in enumerate(peers):
        peer.expect(f"message {number}")


@case(GROUP, SENDING, "messages as large as the limit do not wait for each other's readers",
      styles=STYLES)  # fmt: skip
def large_both_ways(kit: Kit) -> None:
    peer = kit.open()
    payload = bytes(range(256)) * 1000
    for _ in range(3):
        peer.send(frames.binary(payload))
        if peer.message() != payload:
            fail("a message of 256 kB came back changed")
