"""Many sockets of one test, in one thread.

Law: at most so many messages are in flight as the test says, so that what a server needs for
one message at a time is known.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from support.frames import TEXT, build, handshake, read_frame
from support.raw import RawClient


class Reachable(Protocol):
    """One server, several processes of it, or a proxy before them."""

    @property
    def netloc(self) -> str: ...

    def connect(self) -> RawClient: ...


def open_socket(
    server: Reachable, path: str, *headers: tuple[str, str], by: RawClient | None = None
) -> RawClient:
    """A raw websocket.

    :param by: a new connection to the server, where it is to be no ordinary one
    """
    client = by or server.connect()
    try:
        head = handshake(client, path, server.netloc, *headers)
        assert head.status == 101, head
    except BaseException:
        client.close()
        raise
    return client


def knock(client: RawClient, path: str, host: str, *headers: tuple[str, str]) -> None:
    """Ask for a websocket without waiting for the answer."""
    client.send_request(
        "GET",
        path,
        ("Host", host),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ("Sec-WebSocket-Version", "13"),
        *headers,
    )


def ask(client: RawClient, message: bytes = b"?") -> str:
    """Send a message and read the answer."""
    client.send(build(TEXT, message))
    return answer(client)


def answer(client: RawClient) -> str:
    """The next message."""
    frame = read_frame(client)
    assert frame.opcode == TEXT, frame
    return frame.payload.decode()


def ask_all(clients: Sequence[RawClient], in_flight: int) -> list[str]:
    """Ask every socket once; the answers in the order of the sockets."""
    answers = []
    asked: deque[RawClient] = deque()
    for client in clients:
        if len(asked) >= in_flight:
            answers.append(answer(asked.popleft()))
        client.send(build(TEXT, b"?"))
        asked.append(client)
    answers.extend(answer(client) for client in asked)
    return answers
