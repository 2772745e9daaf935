"""When a thread that reads its own socket stops: in time, and before its descriptor is closed."""

from __future__ import annotations

import queue
from collections.abc import Iterable
from typing import Any

from dualws.contract import Environ, StartResponse
from dualws.protocol.frames import PONG, TEXT
from support import frames
from support.timing import QUIET, TIMEOUT, eventually
from support.tornado_server import running


class Waits:
    """Echoes one message, then waits with a time limit."""

    def __init__(self) -> None:
        self.sockets: queue.Queue[Any] = queue.Queue()
        self.ended: queue.Queue[str] = queue.Queue()
        self.timeout: float | None = QUIET

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        ws = environ["wsgi.websocket"]
        ws.accept()
        self.sockets.put(ws)
        for _ in range(2):
            ws.send(ws.receive())
        try:
            message = ws.receive(self.timeout)
        except TimeoutError:
            self.ended.put("timed out")
        else:
            self.ended.put(f"received {message}")
        return []


def reads(ws: Any) -> bool:
    waiter = ws.connection._transport._waiter
    return bool(waiter is not None and waiter.reading)


def test_a_flood_does_not_hold_up_the_time_limit() -> None:
    """There is always more to read, and never a message."""
    waits = Waits()
    with running(waits) as server, server.connect() as client:
        frames.handshake(client, "/", "a")
        ws = waits.sockets.get(timeout=TIMEOUT)
        transport = ws.connection._transport
        for _ in range(2):
            client.send(frames.build(TEXT, b"x"))
            frames.read_frame(client)

        def take_in() -> bool:
            ws.connection.data_received(frames.build(PONG))
            return True

        transport.take_in = take_in
        client.send(frames.build(PONG))  # it stays unread, and the socket readable
        assert waits.ended.get(timeout=TIMEOUT) == "timed out"


def test_the_descriptor_is_closed_when_its_thread_has_left_it() -> None:
    waits = Waits()
    waits.timeout = None
    with running(waits) as server, server.connect() as client:
        frames.handshake(client, "/", "a")
        ws = waits.sockets.get(timeout=TIMEOUT)
        for _ in range(2):
            client.send(frames.build(TEXT, b"x"))
            frames.read_frame(client)
        eventually(lambda: reads(ws), what="the thread does not read")
        transport = ws.connection._transport
        read_at_the_close: list[bool] = []
        sock = transport._sock

        class Noted:
            def close(self) -> None:
                read_at_the_close.append(reads(ws))
                sock.close()

            def __getattr__(self, name: str) -> Any:
                return getattr(sock, name)

        transport._sock = Noted()
        ws.connection.abort()
        assert waits.ended.get(timeout=TIMEOUT) == "received None"
        eventually(lambda: bool(read_at_the_close), what="it is not closed")
        assert read_at_the_close == [False]


def test_an_exception_of_close_ends_the_websocket_too() -> None:
    class Breaks:
        def __iter__(self) -> Any:
            return iter([b"x"])

        def close(self) -> None:
            raise RuntimeError("close() of the application")

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.websocket"].accept()
        return Breaks()

    with running(application) as server, server.connect() as client:
        frames.handshake(client, "/", "a")
        assert frames.read_frame(client).close_code == 1011
        eventually(lambda: not server.server.handling, what="its handler is still counted")
