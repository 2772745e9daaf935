"""What is sent: a workload is data, so that another one is another line."""

from __future__ import annotations

import dataclasses
from typing import Literal

#: echo: every message comes back. fan-out: one connection sends, all get it. http: requests of
#: a trivial view under keep-alive. idle: connections that open and then say nothing.
Kind = Literal["echo", "fan-out", "http", "idle"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Messages of one size on some connections.

    :param name: its name on the command line
    :param kind: what is done with them
    :param connections: open connections
    :param size: payload of a message in bytes
    :param in_flight: messages of one connection that are on their way at a time
    :param text: text messages, not binary ones
    :param deflate: messages are compressed JSON (permessage-deflate, offered as browsers do)
    :param signed_in: the handshake carries the session of a signed-in user
    """

    name: str
    kind: Kind = "echo"
    connections: int
    size: int = 32
    in_flight: int = 1
    text: bool = True
    deflate: bool = False
    signed_in: bool = False

    @property
    def need(self) -> str:
        """What a server must be able to do to take part: its kind, or ``deflate``."""
        return "deflate" if self.deflate else self.kind

    @property
    def unit(self) -> str:
        """What is counted."""
        return {"idle": "handshakes", "http": "requests"}.get(self.kind, "messages")

    def __str__(self) -> str:
        connections = f"{self.connections:,} connections"
        if self.kind == "idle":
            return f"{connections}, {'signed in' if self.signed_in else 'anonymous'}, then silent"
        if self.kind == "http":
            return f"{connections}, a trivial view under keep-alive"
        words = [connections, f"{self.size} B {'text' if self.text else 'binary'}"]
        if self.deflate:
            words[1] = f"{self.size} B JSON, compressed"
        if self.kind == "fan-out":
            words.append("each message to all")
        return ", ".join((*words, f"{self.in_flight} in flight"))


WORKLOADS = {
    work.name: work
    for work in (
        Workload(name="small", connections=64),
        Workload(name="pipelined", connections=64, in_flight=16),
        Workload(name="1k", connections=64, size=1024),
        Workload(name="64k", connections=8, size=64 * 1024, text=False),
        Workload(name="1m", connections=4, size=1024 * 1024, text=False),
        Workload(name="deflate", connections=64, size=1024, deflate=True),
        Workload(name="fan-out", kind="fan-out", connections=500, size=64),
        Workload(name="idle", kind="idle", connections=5000),
        Workload(name="idle-signed-in", kind="idle", connections=5000, signed_in=True),
        Workload(name="http", kind="http", connections=32),
    )
}

#: A curve -> its points: the cost of a message against one property of the workload.
CURVES = {
    "connections": tuple(
        Workload(name=f"{number}", connections=number) for number in (10, 100, 1000, 10_000)
    ),
    "size": tuple(
        Workload(
            name=f"{size}", connections=4, size=size, text=False, in_flight=4 if size < 4096 else 1
        )
        for size in (16, 256, 4096, 64 * 1024, 1024 * 1024, 16 * 1024 * 1024)
    ),
}
