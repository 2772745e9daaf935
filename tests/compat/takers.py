"""Applications that take the connection's socket, as websocket libraries do; no frames here."""

from __future__ import annotations

import json
import os
import select
import socket
import threading
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from compat.data import large
from support.notes import note, wait_for_notes

Environ = dict[str, Any]


def take(environ: Environ) -> Any:
    """The socket, on which a first line is sent."""
    sock = environ["eventlet.input"].get_socket()
    sock.send(b"yours\n")
    return sock


def answer(start_response: Any) -> list[bytes]:
    """What libraries answer at the end of a websocket."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"HTTP that nobody may see"]


def echo(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Sends back what comes, until the client has closed its side; closes, as libraries do."""
    sock = take(environ)
    while data := sock.recv(4096):
        sock.send(data)
    sock.close()
    return answer(start_response)


def raises(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Raises with the socket open."""
    take(environ)
    raise RuntimeError("expected by the test")


def generator(environ: Environ, start_response: Any) -> Iterator[bytes]:
    """Takes the socket while it is iterated, answers, raises in the end."""
    take(environ)
    yield from answer(start_response)
    raise RuntimeError("expected by the test")


def outcome(function: Callable[..., object], *args: object) -> str:
    """Name of what *function* raises."""
    try:
        function(*args)
    except Exception as error:
        return next(
            kind.__name__
            for kind in type(error).__mro__
            if kind in (BlockingIOError, TimeoutError, OSError, RuntimeError)
        )
    return "nothing"


def methods(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Notes what the socket's methods do; the client sends ``x``, then ``1234``."""
    sock = take(environ)
    while sock.recv(1) != b"x":
        pass
    timeouts = [sock.gettimeout()]
    sock.settimeout(0.05)
    timeouts.append(sock.gettimeout())
    seen: dict[str, Any] = {"peer": list(sock.getpeername()[:2])}
    readable = select.select([sock], [], [], 10)[0]
    seen["selected"] = readable == [sock]
    seen["peeked"] = sock.recv(1, socket.MSG_PEEK).decode()
    received = bytearray(4)
    view = memoryview(received)
    while view:
        view = view[sock.recv_into(view) :]
    seen["received"] = received.decode()
    seen["timed out"] = outcome(sock.recv, 1) == "TimeoutError"
    sock.settimeout(None)
    timeouts.append(sock.gettimeout())
    seen["timeout"] = timeouts
    seen["not blocking"] = outcome(sock.setblocking, False)
    seen["same"] = environ["eventlet.input"].get_socket() is sock
    seen["accept"] = outcome(environ["wsgi.websocket"].receive)
    sock.close()
    sock.close()
    seen["after close"] = [outcome(sock.recv, 1), sock.fileno()]
    note("methods", seen)
    return answer(start_response)


def threads(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Ten threads send a megabyte each, of a byte of their own."""
    sock = take(environ)
    senders = [
        threading.Thread(target=sock.send, args=(bytes([number]) * 1_000_000,))
        for number in range(10)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    return answer(start_response)


def sends_large(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Sends five megabytes, reads nothing, and leaves the socket to the server."""
    take(environ).sendall(large(5_000_000))
    return answer(start_response)


def lazy(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Accepts the websocket, then asks for the socket."""
    ws = environ["wsgi.websocket"]
    ws.receive()
    ws.send(outcome(environ["eventlet.input"].get_socket))
    return []


def notes(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Wait for ``count`` notes of ``key``."""
    query = dict(urllib.parse.parse_qsl(environ["QUERY_STRING"]))
    found = wait_for_notes(query.get("key", ""), int(query.get("count", "0")))
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(found).encode()]


def descriptors(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """How many descriptors the process has open."""
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(len(os.listdir("/dev/fd"))).encode()]


PATHS = {
    "/descriptors": descriptors,
    "/echo": echo,
    "/raises": raises,
    "/generator": generator,
    "/methods": methods,
    "/threads": threads,
    "/large": sends_large,
    "/lazy": lazy,
    "/notes": notes,
}


def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """The application that the path names."""
    return PATHS[environ["PATH_INFO"]](environ, start_response)
