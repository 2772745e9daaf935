"""Greets a new connection in its greenlet: the PROXY preamble, TLS.

Law: *nobody waits for somebody else's greeting*, and nobody for long: it has its time, and the
connection is closed when it is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import gevent

from dualws.serving.greeting import Greeter, Link, Receive, Refused, log_refused

if TYPE_CHECKING:
    from gevent.socket import socket as GeventSocket

    from dualws_gevent.server import Listener


def greet(
    greeter: Greeter, listener: Listener, sock: GeventSocket, peer: Any
) -> tuple[GeventSocket, Link] | None:
    """The socket to speak HTTP on, and what is known of it; None when it was closed.

    :param peer: the other end's address
    """
    greeted = False
    try:
        with gevent.Timeout(greeter.timeout, TimeoutError):
            link = _drive(greeter, sock, peer, listener.local_address(sock))
        if link.engine is not None:
            from dualws.tls.socket import TlsSocket

            lock = listener.owner.gevent_runtime.lock()
            # It has what is used of a socket, but is none.
            sock = cast("GeventSocket", TlsSocket(sock, link.engine, lock))
        greeted = True
        return sock, link
    except (Refused, OSError) as error:
        log_refused(peer, error)
        return None
    finally:
        if not greeted:
            sock.close()


def _drive(greeter: Greeter, sock: GeventSocket, peer: Any, local: Any) -> Link:
    greeting = greeter.greet(peer, local)
    step = next(greeting)
    while True:
        answer = b""
        if isinstance(step, Receive):
            answer = sock.recv(step.size, step.flags)
        else:
            sock.sendall(step)
        try:
            step = greeting.send(answer)
        except StopIteration as end:
            return cast(Link, end.value)
