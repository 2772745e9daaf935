"""A server that is stopped in a process that goes on: nothing of it goes on with the process."""

from __future__ import annotations

from pathlib import Path

from support.program import python
from support.timing import TIMEOUT

#: Serves an application that takes the raw socket, stops the server, and tells what came of it.
PROGRAM = r"""
import sys
from dualws.registry import load
backend = load(sys.argv[1])()
backend.prepare()
import socket, threading
from dualws.contract import ServerConfig

seconds = float(sys.argv[2])
taken, ended = threading.Event(), threading.Event()

def application(environ, start_response):
    sock = environ["eventlet.input"].get_socket()
    sock.sendall(b"yours")
    taken.set()
    try:
        while sock.recv(4096):
            pass
    finally:  # read, or killed
        ended.set()
    start_response("200 OK", [])
    return []

listener = socket.create_server(("127.0.0.1", 0))
address = listener.getsockname()
server = backend.make_server(application, ServerConfig(close_timeout=0.2), [listener])
opened = threading.Event()
server.on_opened = opened.set
running = threading.Thread(target=server.run)
running.start()
assert opened.wait(seconds)
client = socket.create_connection(address, seconds)
client.sendall(
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
assert taken.wait(seconds)
assert client.recv(5) == b"yours"
server.stop()
running.join(seconds)
print("stopped", not running.is_alive())
print("the application has come to its end", ended.wait(seconds))
print("the client has read the end", client.recv(1) == b"")
"""


def test_a_taken_socket_does_not_outlive_the_server(tmp_path: Path, backend: str) -> None:
    done = python(tmp_path, "-c", PROGRAM, backend, str(TIMEOUT / 3))
    assert done.stdout.splitlines() == [
        "stopped True",
        "the application has come to its end True",
        "the client has read the end True",
    ], done.stdout + done.stderr
