"""The stream over TLS on Tornado: what no client can bring about at will."""

from __future__ import annotations

import asyncio
import socket
import ssl

from dualws.contract import ServerConfig
from dualws.tls.engine import Engine
from dualws_tornado.tls import TlsStream


def test_noise_is_an_end_for_who_looks_again() -> None:
    """It may come while an answer is due, and is looked for again when that has gone out."""
    engine = Engine(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))

    async def read_twice() -> list[int | None]:
        ours, peer = socket.socketpair()
        ours.setblocking(False)
        stream = TlsStream(ours, ServerConfig(), lambda *refused: None, engine)
        with peer:
            peer.sendall(b"\0" * 100)
            ends = [stream._receive(bytearray(10)) for _ in range(2)]
        stream.close()
        return ends

    assert asyncio.run(read_twice()) == [0, 0]
