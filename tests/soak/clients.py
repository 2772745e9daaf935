"""The kinds of clients, good and bad; each does one thing once and leaves.

Law: a client that behaves well checks all that it is told, and one that does not is content with
whatever the server does to it.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
from collections.abc import Callable

from support.crowd import open_socket
from support.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    build,
    close_payload,
    handshake,
    read_frame,
)
from support.raw import RawClient
from support.server import LiveServer

#: Where the echoes are.
ECHOES = ("/blocking/", "/events/", "/async/")
#: What a server may do to a client that misbehaves.
ENDS = (ConnectionError, EOFError, TimeoutError)
#: Seconds for which a misbehaving client stays to see what becomes of it.
_PATIENCE = 0.3


def echo(server: LiveServer) -> None:
    """Talks for a while, and says goodbye."""
    with open_socket(server, random.choice(ECHOES)) as client:
        for number in range(random.randrange(1, 30)):
            check(client, os.urandom(random.choice((0, 1, 125, 126, 2000))), number % 7 == 0)
        goodbye(client)


def big(server: LiveServer) -> None:
    """A large message, in fragments, with pings between them."""
    with open_socket(server, random.choice(ECHOES)) as client:
        parts = [os.urandom(100_000) for _ in range(4)]
        for number, part in enumerate(parts):
            opcode = CONTINUATION if number else BINARY
            client.send(build(opcode, part, fin=number == 3, mask=b"\0\0\0\0") + build(PING))
        expect(client, b"".join(parts))
        goodbye(client)


def check(client: RawClient, message: bytes, pings: bool) -> None:
    """A message comes back as it was."""
    client.send(build(BINARY, message) + (build(PING, b"p") if pings else b""))
    expect(client, message)


def expect(client: RawClient, message: bytes) -> None:
    """The next message, whatever control frames come before it."""
    while (frame := read_frame(client)).opcode in (PING, PONG):
        if frame.opcode == PING:
            client.send(build(PONG, frame.payload))
    assert frame.payload == message, f"{frame} is not the echo of {len(message)} bytes"


def goodbye(client: RawClient) -> None:
    """The close handshake."""
    client.send(build(CLOSE, close_payload(1000)))
    while (frame := read_frame(client)).opcode != CLOSE:
        assert frame.opcode in (PING, PONG), frame
    assert frame.close_code == 1000, frame
    client.assert_closed()


def visit(server: LiveServer) -> None:
    """A few requests on one connection, with bodies of all sizes."""
    with server.connect() as client:
        for size in (0, 10, random.choice((1000, 200_000))):
            client.send_request(
                "POST", "/page/", ("Host", server.netloc), ("Content-Length", str(size))
            )
            client.send(bytes(size))
            answer = client.read_response()
            assert (answer.status, answer.body) == (200, str(size).encode()), answer


def refused(server: LiveServer) -> None:
    """A handshake that the view, or the server, refuses."""
    with server.connect() as client:
        path, version = random.choice((("/refusing/", "13"), ("/blocking/", "99")))
        head = handshake(client, path, server.netloc, version=version)
        assert head.status in (403, 426), head


def slow_reader(server: LiveServer) -> None:
    """Takes a little of all that is sent to it, and leaves."""
    with small(server) as client:
        start(client, "/firehose/", server)
        for _ in range(3):
            client.sock.recv(random.randrange(1, 10_000))
            wait(client)


def slow_writer(server: LiveServer) -> None:
    """Sends its request and a frame in small pieces, or never to their end."""
    data = request("/events/", server) + build(TEXT, b"x" * 40)
    with server.connect() as client:
        for start_ in range(0, random.randrange(len(data)), 40):
            client.send(data[start_ : start_ + 40])
            wait(client, 0.02)


def vanish(server: LiveServer) -> None:
    """Is gone in the midst of a conversation."""
    client = open_socket(server, random.choice((*ECHOES, "/firehose/")))
    client.send(build(TEXT, b"hello") * random.randrange(5))
    client.reset()


def flood(server: LiveServer) -> None:
    """Sends messages and pings without reading any answer."""
    with small(server) as client:
        start(client, random.choice(ECHOES), server)
        client.sock.settimeout(_PATIENCE)
        data = (build(BINARY, bytes(1000)) + build(PING, b"p")) * 50
        for _ in range(40):
            client.send(data)


def bad_frame(server: LiveServer) -> None:
    """Breaks the protocol of frames."""
    with open_socket(server, random.choice(ECHOES)) as client:
        client.send(
            random.choice(
                (
                    build(TEXT, b"x", mask=None),
                    build(TEXT, b"\xff\xfe"),
                    build(3, b""),
                    build(TEXT, b"x", rsv=random.randrange(1, 8)),
                    build(PING, b"x" * 126),
                    build(CONTINUATION, b"x"),
                    build(CLOSE, b"x"),
                    build(BINARY, b"", length=1 << 40),
                    os.urandom(200),
                )
            )
        )
        client.sock.settimeout(_PATIENCE)
        while read_frame(client).opcode != CLOSE:
            continue


def half_handshake(server: LiveServer) -> None:
    """Leaves, in one way or the other, before its handshake is whole, or right behind it."""
    data = request(random.choice(ECHOES), server)
    client = server.connect()
    client.send(data[: random.randrange(1, len(data) + 1)])
    random.choice((client.close, client.reset))()


def not_http(server: LiveServer) -> None:
    """Speaks something else."""
    with server.connect() as client:
        client.send(random.choice((b"\x16\x03\x01" + os.urandom(60), os.urandom(300), b"\n" * 99)))
        client.sock.settimeout(_PATIENCE)
        client.read_to_end()


def request(path: str, server: LiveServer) -> bytes:
    """A good handshake."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {server.netloc}\r\nUpgrade: websocket\r\nConnection: "
        "Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
        "\r\n\r\n"
    ).encode()


def small(server: LiveServer) -> RawClient:
    """A connection that takes little in advance."""
    return RawClient(server.address, receive_buffer=4096)


def start(client: RawClient, path: str, server: LiveServer) -> None:
    """Open a websocket on it."""
    client.send(request(path, server))
    client.read_head()


def wait(client: RawClient, seconds: float = _PATIENCE / 3) -> None:
    """Do nothing for a moment, but to see the end."""
    client.sock.settimeout(seconds)
    with contextlib.suppress(TimeoutError):
        client.sock.recv(1, socket.MSG_PEEK)


#: Kinds whose every failure counts, and those that are content with any end.
GOOD: tuple[Callable[[LiveServer], None], ...] = (echo, big, visit, refused)
BAD: tuple[Callable[[LiveServer], None], ...] = (
    slow_reader,
    slow_writer,
    vanish,
    flood,
    bad_frame,
    half_handshake,
    not_http,
)
