"""What is sent: a workload is data, so that another one is another line."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Echoed messages of one size on some connections.

    :param name: its name on the command line
    :param connections: open websockets
    :param size: payload of a message in bytes
    :param in_flight: messages of one connection that are on their way at a time
    :param text: text messages, not binary ones
    """

    name: str
    connections: int
    size: int
    in_flight: int = 1
    text: bool = True

    def __str__(self) -> str:
        return (
            f"{self.connections} connections, {self.size} B {'text' if self.text else 'binary'}, "
            f"{self.in_flight} in flight"
        )


WORKLOADS = {
    work.name: work
    for work in (
        Workload(name="small", connections=64, size=32),
        Workload(name="pipelined", connections=64, size=32, in_flight=16),
        Workload(name="1k", connections=64, size=1024),
        Workload(name="64k", connections=8, size=64 * 1024, text=False),
        Workload(name="1m", connections=4, size=1024 * 1024, text=False),
    )
}
