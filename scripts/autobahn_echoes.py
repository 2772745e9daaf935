"""Two echoes to measure beside: ``python autobahn_echoes.py tornado`` or ``… least``.

Law: each announces its address as ``dualws serve`` does, and serves ``/`` until it is ended.

``tornado`` is Tornado's own ``WebSocketHandler``, on the loop that the Tornado backend uses.
``least`` does the least that the suite's large messages let a server do: it looks at frames'
headers alone, and answers a message with as many bytes that it has ready, for the suite compares
nothing but lengths there. The time that a run against it takes is the suite's own.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import re
import socket
import sys
import threading

HOST = "127.0.0.1"
#: Largest message of the suite.
LARGEST = 16 * 1024 * 1024
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = re.compile(rb"Sec-WebSocket-Key: *(\S+)", re.I)
_CLOSE = 0x88
#: A close frame with code 1000.
_GOODBYE = b"\x88\x02\x03\xe8"
#: Bytes that are received at a time.
_READ = 1024 * 1024


def announce(name: str, port: int) -> None:
    """Tell that it serves."""
    sys.stdout.write(f"{name} on http://{HOST}:{port}\n")
    sys.stdout.flush()


# -- Tornado's own ---------------------------------------------------------------------


def tornado() -> None:
    """Serve Tornado's own handler, on the loop that dualws would use."""
    from dualws_tornado.loop import new_event_loop

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_tornado())


async def _tornado() -> None:
    from tornado.httpserver import HTTPServer
    from tornado.netutil import bind_sockets
    from tornado.web import Application
    from tornado.websocket import WebSocketHandler

    class Echo(WebSocketHandler):
        def on_message(self, message: str | bytes) -> None:
            self.write_message(message, binary=isinstance(message, bytes))

    (listener,) = bind_sockets(0, HOST)
    server = HTTPServer(Application([("/", Echo)], websocket_max_message_size=LARGEST))
    server.add_sockets([listener])
    announce("tornado", listener.getsockname()[1])
    await asyncio.Event().wait()


# -- the least -------------------------------------------------------------------------


def least() -> None:
    """Serve the echo that does the least, with a thread for each connection."""
    answers = memoryview(b"*" * LARGEST)
    with socket.create_server((HOST, 0)) as listener:
        announce("least", listener.getsockname()[1])
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=_serve, args=(sock, answers), daemon=True).start()


def _serve(sock: socket.socket, answers: memoryview) -> None:
    with sock, contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = b""
        while b"\r\n\r\n" not in head:
            head += sock.recv(65536) or b"\r\n\r\n"
        if key := _KEY.search(head):
            accept = base64.b64encode(hashlib.sha1(key[1] + _GUID).digest())
            sock.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            _echo(sock, answers)


def _echo(sock: socket.socket, answers: memoryview) -> None:
    messages = Messages()
    buffer = bytearray(_READ)
    view = memoryview(buffer)
    kept = 0
    while got := sock.recv_into(view[kept:]):
        end = kept + got
        rest = messages.feed(buffer, end)
        kept = end - rest
        buffer[:kept] = buffer[rest:end]
        for first, size in messages.complete:
            if first == _CLOSE:
                sock.sendall(_GOODBYE)
                return
            sock.sendmsg((header(first, size), answers[:size]))
        messages.complete.clear()


def header(first: int, size: int) -> bytes:
    """The header of an unmasked frame."""
    if size < 126:
        return bytes((first, size))
    if size < 0x10000:
        return bytes((first, 126)) + size.to_bytes(2, "big")
    return bytes((first, 127)) + size.to_bytes(8, "big")


class Messages:
    """Goes from one masked frame's header to the next."""

    def __init__(self) -> None:
        #: of each message, and control frame, that has come whole: first byte of a frame that
        #: holds as much, and length
        self.complete: list[tuple[int, int]] = []
        self._opcode = 0
        self._size = 0
        #: whether the frame under way is the message's last
        self._last = False
        #: bytes of it that have not come
        self._left = 0

    def feed(self, data: bytearray, end: int) -> int:
        """Go through ``data[:end]``.

        :return: where a header begins that is not whole; it is to be fed again with the rest
        """
        position = 0
        while True:
            if self._left:
                step = min(self._left, end - position)
                position += step
                self._left -= step
                if self._left:
                    return end
            if self._last:
                self._last = False
                self.complete.append((0x80 | self._opcode, self._size))
                self._size = 0
            if end - position < 2:
                return position
            first, size = data[position], data[position + 1] & 0x7F
            start = position + 2
            if size >= 126:
                start += 2 if size == 126 else 8
                if start > end:
                    return position
                size = int.from_bytes(data[position + 2 : start], "big")
            start += 4  # the masking key
            if start > end:
                return position
            position = start
            self._opcode = first & 0x0F or self._opcode
            self._last = first >= 0x80
            self._left = size
            self._size += size


if __name__ == "__main__":
    {"tornado": tornado, "least": least}[sys.argv[1]]()
