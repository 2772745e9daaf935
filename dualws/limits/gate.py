"""The middleware that refuses requests when there are too many: 503, or 429 for one address.

Law: *what is counted leaves again, however it ends*. A request counts until its response is
closed, a handshake until it is answered, a websocket until its connection is lost. The address is
the one in ``REMOTE_ADDR``, so behind a trusted proxy it is the client's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from dualws.contract import Environ, StartResponse, WSGIApplication
from dualws.limits import refusals
from dualws.protocol.handshake import is_attempted

if TYPE_CHECKING:
    from dualws.limits.limits import Limits

#: environ key of a counted request: its :class:`Place`
ENVIRON_PLACE = "dualws.place"


class Place:
    """What one request counts for; a websocket takes its address over.

    :param limits: where it is counted
    :param address: the client's; empty where it has none
    :param handshake: whether it asks for a websocket
    """

    __slots__ = ("_address", "_handshake", "_limits")

    def __init__(self, limits: Limits, address: str, handshake: bool) -> None:
        self._limits = limits
        self._address = address
        self._handshake = handshake

    def answered(self) -> None:
        """The handshake, if it is one, has been answered."""
        if self._handshake:
            self._handshake = False
            self._limits.handshakes.leave("")

    def leave(self) -> None:
        """The request is over."""
        self.answered()
        if self._address:
            self._limits.addresses.leave(self._address)
            self._address = ""

    def hand_over(self) -> str:
        """The address, which counts on until the caller's websocket is lost."""
        address, self._address = self._address, ""
        return address


class _Counted:
    """A response that says when it is closed."""

    def __init__(self, result: Iterable[bytes], place: Place) -> None:
        self._result = result
        self._place = place

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._result)

    def close(self) -> None:
        try:
            close = getattr(self._result, "close", None)
            if close is not None:
                close()
        finally:
            self._place.leave()


class Gate:
    """Lets requests through while there is room.

    :param application: what they go to
    :param limits: the server's
    """

    def __init__(self, application: WSGIApplication, limits: Limits) -> None:
        self.application = application
        self._limits = limits

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        limits = self._limits
        if limits.full:
            refusals.note(
                "full",
                "refusing requests with 503: %d bytes wait in websockets, over max_buffered=%d",
                limits.buffered,
                limits.config.max_buffered,
            )
            return _refuse(start_response, "503 Service Unavailable", "the server is out of memory")
        if not limits.counts_requests:
            return self.application(environ, start_response)
        return self._count(environ, start_response)

    def _count(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        limits = self._limits
        address = environ["REMOTE_ADDR"]
        if address and not limits.addresses.enter(address):
            refusals.note(
                "address",
                "refusing %s with 429: it has max_connections_per_address=%d already",
                address,
                limits.config.max_connections_per_address,
            )
            text = "too many connections from this address"
            return _refuse(start_response, "429 Too Many Requests", text)
        handshake = is_attempted(environ)
        if handshake and not limits.handshakes.enter(""):
            if address:
                limits.addresses.leave(address)
            refusals.note(
                "handshakes",
                "refusing websockets with 503: max_handshakes=%d are under way",
                limits.config.max_handshakes,
            )
            return _refuse(start_response, "503 Service Unavailable", "too many handshakes")
        place = environ[ENVIRON_PLACE] = Place(limits, address, handshake)
        try:
            result = self.application(environ, start_response)
        except BaseException:
            place.leave()
            raise
        if isinstance(result, list | tuple):  # kept as it is: its length is looked at
            place.leave()
            return result
        return _Counted(result, place)


def _refuse(start_response: StartResponse, status: str, text: str) -> Iterable[bytes]:
    status, headers, body = refusals.response(status, text)
    start_response(status, headers)
    return (body,)
