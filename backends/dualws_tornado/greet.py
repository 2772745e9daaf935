"""Greets a new connection on the loop: the PROXY preamble, TLS.

Law: *nobody waits for somebody else's greeting*, and nobody for long: it has its time, and the
connection is closed when it is over.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

from dualws.serving.greeting import Greeter, Link, Receive, Refused, log_refused


async def greet(
    greeter: Greeter, sock: socket.socket, peer: Any, serve: Callable[[Any, Link], object]
) -> None:
    """Greet one connection, then *serve* it, or close it.

    :param sock: non-blocking
    :param peer: the other end's address
    """
    greeted = False
    try:
        async with asyncio.timeout(greeter.timeout):
            link = await _drive(greeter, sock, peer)
        greeted = True
        serve(link.peer, link)
    except (Refused, OSError) as error:
        log_refused(peer, error)
    finally:
        if not greeted:
            sock.close()


async def _drive(greeter: Greeter, sock: socket.socket, peer: Any) -> Link:
    greeting = greeter.greet(peer, sock.getsockname())
    step = next(greeting)
    while True:
        answer = b""
        if isinstance(step, Receive):
            answer = await _receive(sock, step)
        else:
            await asyncio.get_running_loop().sock_sendall(sock, step)
        try:
            step = greeting.send(answer)
        except StopIteration as end:
            return cast(Link, end.value)


async def _receive(sock: socket.socket, step: Receive) -> bytes:
    """As ``loop.sock_recv``, which has no flags."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return sock.recv(step.size, step.flags)
        except (BlockingIOError, InterruptedError):
            pass
        readable = loop.create_future()
        loop.add_reader(sock.fileno(), _wake, readable)
        try:
            await readable
        finally:
            loop.remove_reader(sock.fileno())


def _wake(readable: asyncio.Future[None]) -> None:
    if not readable.done():
        readable.set_result(None)
