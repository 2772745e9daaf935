"""The way of a response's bytes from the worker thread to the client.

Law: only the loop's thread touches the stream, until the socket is claimed. The worker thread
leaves bytes here and goes on, until more than :data:`HIGH_WATER` of them wait for the client:
then it waits too (backpressure). A client that has gone is an exception in the worker thread, at
the next write or in the middle of that wait.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError

from dualws_tornado.runtime import Runtime, Waiter
from dualws_tornado.stream import Stream

#: Bytes that may wait for a client before the worker thread does.
HIGH_WATER = 256 * 1024
#: Pieces up to this size are joined to one ``send``.
_JOIN = 64 * 1024


class ClientGone(ConnectionAbortedError):
    """The client has left before the response was complete."""


class Channel:
    """One response's bytes.

    :param runtime: the server's runtime
    :param exchange: Tornado's side of this request
    :param stream: the connection's stream
    :param ended: called in the loop's thread when this is over, however it ended
    """

    def __init__(
        self,
        runtime: Runtime,
        exchange: HTTP1Connection,
        stream: Stream,
        ended: Callable[[], object],
    ) -> None:
        self._runtime = runtime
        self._exchange: HTTP1Connection | None = exchange
        self._stream: Stream | None = stream
        self._ended: Callable[[], object] | None = ended
        self._lock = threading.Lock()
        self._pieces: list[bytes | memoryview] = []
        self._unsent = 0
        self._scheduled = False
        self._waiter: Waiter | None = None
        self._complete = False
        self._keep = False
        #: the client has gone, or the exchange was cut
        self.gone = False

    # -- in the worker thread -------------------------------------------------------

    def write(self, data: bytes | memoryview) -> None:
        """Send *data*; waits while the client is slow.

        :raises ClientGone: the client has gone, or was given up (``response_timeout``)
        """
        if len(data) <= HIGH_WATER:
            self._write(data)
        else:
            # In parts, so that a slow client's progress can be seen.
            view = memoryview(data)
            for start in range(0, len(data), HIGH_WATER):
                self._write(view[start : start + HIGH_WATER])

    def _write(self, data: bytes | memoryview) -> None:
        with self._lock:
            if self.gone:
                raise ClientGone("the client has gone")
            self._pieces.append(data)
            self._unsent += len(data)
            waiter = self._waiter = Waiter() if self._unsent > HIGH_WATER else None
            scheduled, self._scheduled = self._scheduled, True
        if not scheduled:
            self._runtime.call_soon(self._flush)
        if waiter is not None:
            waiter.wait()
            if self.gone:
                raise ClientGone("the client has gone")

    def finish(self, last: bytes, keep: bool) -> None:
        """Send *last*; then take the next request, or close the connection."""
        with self._lock:
            if self.gone:
                return
            if last:
                self._pieces.append(last)
                self._unsent += len(last)
            self._complete = True
            self._keep = keep
            scheduled, self._scheduled = self._scheduled, True
        if not scheduled:
            self._runtime.call_soon(self._flush)

    def claim(self) -> socket.socket:
        """Take the socket, before :meth:`leave` is called in the loop's thread.

        :raises ClientGone: the client has gone
        """
        stream = self._stream
        if stream is None:
            raise ClientGone("the client has gone")
        try:
            return stream.claim()
        except OSError as error:
            raise ClientGone(str(error)) from error

    def cut(self) -> None:
        """Close the connection at once: what was sent is not a whole response."""
        self._runtime.call_soon(self._cut)

    # -- in the loop's thread -------------------------------------------------------

    def _flush(self) -> None:
        with self._lock:
            pieces, self._pieces = self._pieces, []
            size = sum(map(len, pieces))
            self._scheduled = False
            stream = self._stream
        if stream is None:
            return
        if len(pieces) > 1 and size <= _JOIN:
            pieces = [b"".join(pieces)]
        try:
            for piece in pieces:
                written = stream.write(piece)
        except StreamClosedError:
            self.lost()
            return
        if pieces and stream.writing():
            written.add_done_callback(lambda future: self._written(size))
        else:
            self._written(size)

    def _written(self, size: int) -> None:
        stream, exchange = self._stream, self._exchange
        if stream is None or exchange is None:
            return
        if stream.closed():
            self.lost()
            return
        with self._lock:
            self._unsent -= size
            over = self._complete and not self._unsent
            waiter = None
            if self._unsent <= HIGH_WATER:
                waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.wake()
        if over:
            self._stream = self._exchange = None
            if self._keep:
                exchange.finish()
            else:
                exchange.close()
            self._end()

    def _cut(self) -> None:
        exchange = self._exchange
        self.lost()
        if exchange is not None:
            exchange.close()

    def lost(self) -> None:
        """The client has gone, or HTTP is over here: release whoever waits."""
        with self._lock:
            self.gone = True
            self._stream = self._exchange = None
            self._pieces.clear()
            waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.wake()
        self._end()

    def _end(self) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended()

    def detach(self) -> Stream:
        """Take the stream out of HTTP; what is written from now on raises :class:`ClientGone`.

        :raises ConnectionError: the client has gone
        """
        stream = self._stream
        if stream is None or stream.closed():
            raise ClientGone("the client has gone")
        self.leave()
        return stream

    def leave(self) -> None:
        """End HTTP, if the client has not ended it: the rest of :meth:`claim`."""
        exchange = self._exchange
        if exchange is not None:
            exchange.detach()
        self.lost()
