"""The client's end of a websocket in a test: what ``client.websocket()`` returns.

Law: the test and the handler take turns. Whatever the test sends is handled before its next
line runs, unless the handler is busy for longer than it should be; whatever it waits for
comes in time or is said to be missing, with what came instead. What the handler raises is raised
again in the test.
"""

from __future__ import annotations

import json
import reprlib
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dualws import json_messages
from dualws.errors import WebSocketClosed
from dualws.protocol import frames
from dualws.protocol.fragments import Chunks, frames_of
from dualws.protocol.outgoing import Data
from dualws.testing.position import position

if TYPE_CHECKING:
    from django.http import HttpResponseBase

    from dualws.testing.handshake import Handshake

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80


class ClientWebSocket:
    """An open websocket, seen from its client.

    Use it in a ``with`` statement, which closes it and waits for the handler's end.

    :param path: where it leads
    :param response: the 101 response, with its headers and cookies
    :param handshake: the other end
    :param changed: notified of whatever happens at the other end
    :param timeout: seconds that waiting takes at most where a call does not say otherwise
    :param patience: seconds that the test waits for the handler after it sent something
    :param raise_failures: raise what the handler raised
    """

    def __init__(
        self,
        path: str,
        response: HttpResponseBase,
        handshake: Handshake,
        changed: threading.Condition,
        *,
        timeout: float,
        patience: float,
        raise_failures: bool,
    ) -> None:
        self.path = path
        self.response = response
        #: the subprotocol agreed upon, None without one
        self.subprotocol: str | None = response.headers.get("Sec-WebSocket-Protocol")
        self._handshake = handshake
        self._client = handshake.client
        self._changed = changed
        self._timeout = timeout
        self._patience = patience
        self._raise_failures = raise_failures
        self._received = 0
        self._settle()

    def __repr__(self) -> str:
        state = "open" if self.close_code is None else f"closed with {self.close_code}"
        return f"<{type(self).__name__} {self.path} {state}>"

    def __enter__(self) -> ClientWebSocket:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is None:
            self.close()
            return
        # The test has failed: that is what must be seen, not what follows from it.
        failure = self._handshake.failure
        if self._raise_failures and failure is not None and failure is not exc:
            exc.add_note(f"The handler of {self.path} had raised {failure!r}")
        self._client.send_close(1000, "")
        self._wait(lambda: self._handshake.runtime.ended, self._patience)

    # -- receiving -----------------------------------------------------------------------

    def receive(self, timeout: float | None = None) -> str | bytes:
        """The next message.

        :param timeout: seconds; default: the client's ``websocket_timeout``
        :return: text as ``str``, binary as ``bytes``
        :raises WebSocketClosed: the server closed it instead; has the code and the reason
        :raises TimeoutError: nothing came in time; says what the handler is doing
        :raises Exception: what the handler raised instead
        """
        limit = self._timeout if timeout is None else timeout
        self._wait(lambda: self._client.messages or self._over, limit)
        if self._client.messages:
            self._received += 1
            return self._client.take()
        self._raise_failure()
        if self.close_code is not None:
            raise WebSocketClosed(self.close_code, self.close_reason)
        raise TimeoutError(
            f"no message from {self.path} within {limit:g} s, after {self._received} before: "
            f"{self._doing()}"
        )

    def receive_json(self, timeout: float | None = None) -> Any:
        """The value of the next message, which must be JSON.

        :param timeout: as in :meth:`receive`
        :raises InvalidMessage: it is not JSON
        :raises WebSocketClosed: as :meth:`receive`, which see for the rest
        """
        return json_messages.decode(self.receive(timeout))

    def receive_nothing(self, timeout: float = 0.1) -> None:
        """Make sure that no message comes.

        :param timeout: seconds to wait for one
        :raises AssertionError: a message came
        :raises Exception: what the handler raised
        """
        self._wait(lambda: self._client.messages or self._over, timeout)
        if self._client.messages:
            raise AssertionError(
                f"{self.path} was to send nothing, but it sent "
                f"{_short.repr(self._client.messages[0][0])}"
            )
        self._raise_failure()

    def receive_close(self, timeout: float | None = None) -> int:
        """Wait until the server closes it, or answers our close.

        :param timeout: as in :meth:`receive`
        :return: :attr:`close_code`
        :raises AssertionError: a message came instead
        :raises TimeoutError: it stays open; says what the handler is doing
        :raises Exception: what the handler raised
        """
        limit = self._timeout if timeout is None else timeout
        self._wait(lambda: self._client.messages or self._over, limit)
        if self._client.messages:
            raise AssertionError(
                f"{self.path} was to be closed, but it sent "
                f"{_short.repr(self._client.messages[0][0])} first: receive that before"
            )
        self._raise_failure()
        if self.close_code is None:
            raise TimeoutError(f"{self.path} was not closed within {limit:g} s: {self._doing()}")
        self._settle()
        return self.close_code

    def __iter__(self) -> Iterator[str | bytes]:
        """The messages until the server closes it; each must come in time."""
        while True:
            try:
                message = self.receive()
            except WebSocketClosed:
                return
            yield message

    # -- sending -------------------------------------------------------------------------

    def send(self, data: Data | Chunks, binary: bool | None = None) -> None:
        """Send a message, and let the handler deal with it.

        :param data: ``str`` as text, bytes-like data as binary, an iterator of either in
            fragments
        :param binary: overrides that
        :raises WebSocketClosed: it is closed
        :raises TypeError: *data* is none of these types
        :raises Exception: what the handler raised before
        """
        self._check_open()
        if isinstance(data, Iterator):
            for frame in frames_of(data, binary, None, None):
                self._client.send_built(frame)
        else:
            self._client.send_message(data, binary)
        self._settle()

    def send_json(self, value: object, *, encoder: type[json.JSONEncoder] | None = None) -> None:
        """Send *value* as a JSON message.

        :param encoder: default: Django's ``DjangoJSONEncoder``
        :raises WebSocketClosed: it is closed
        :raises TypeError: *value* holds something that the encoder does not know
        :raises ValueError: *value* holds NaN or an infinity, or itself
        """
        self.send(json_messages.encode(value, encoder))

    def ping(self, data: bytes = b"", timeout: float | None = None) -> None:
        """Send a ping and wait for its pong.

        :param data: at most 125 bytes
        :param timeout: as in :meth:`receive`
        :raises ValueError: *data* is too long
        :raises WebSocketClosed: it is closed
        :raises TimeoutError: there was no pong in time
        """
        if len(data) > 125:
            raise ValueError(f"a ping holds at most 125 bytes, not {len(data)}")
        self._check_open()
        limit = self._timeout if timeout is None else timeout
        self._client.send_frame(frames.PING, data)
        self._wait(lambda: data in self._client.pongs or self.close_code is not None, limit)
        if data in self._client.pongs:
            self._client.pongs.remove(data)
            return
        self._check_open()
        raise TimeoutError(f"no pong from {self.path} within {limit:g} s: {self._doing()}")

    def send_pong(self, data: bytes = b"") -> None:
        """Send a pong, asked for or not."""
        self._check_open()
        self._client.send_frame(frames.PONG, data)
        self._settle()

    # -- the end -------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self.close_code is not None

    @property
    def close_code(self) -> int | None:
        """Close code of the end; None while it is open.

        1005 when the server's close frame had none, 1006 when there was no close frame.
        """
        return self._client.close_code

    @property
    def close_reason(self) -> str:
        """The reason that came with :attr:`close_code`."""
        return self._client.close_reason

    def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Close it, unless it is closed, and wait until the handler has ended.

        :param code: None for a close frame without a code
        :param reason: at most 123 bytes in UTF-8
        :raises ValueError: *code* may not be sent (RFC 6455 section 7.4)
        :raises TimeoutError: the handler does not end; says what it is doing
        :raises Exception: what the handler raised
        """
        if code is not None and not frames.is_sendable(code):
            raise ValueError(f"close code {code} may not be sent: see RFC 6455 section 7.4")
        self._client.send_close(code, reason)
        self._wait_for_end("it was closed")

    def abort(self) -> None:
        """Break the connection, as a client that loses its network, and wait for the handler.

        :raises TimeoutError: the handler does not end; says what it is doing
        :raises Exception: what the handler raised
        """
        assert self._handshake.transport is not None
        self._handshake.transport.lose(ConnectionResetError(104, "Connection reset by peer"))
        self._wait_for_end("its connection broke")

    def _wait_for_end(self, since: str) -> None:
        ended = self._wait(lambda: self._handshake.runtime.ended, self._timeout)
        self._raise_failure()
        if not ended:
            raise TimeoutError(
                f"the handler of {self.path} did not end within {self._timeout:g} s after "
                f"{since}: {self._doing()}"
            )

    # -- waiting -------------------------------------------------------------------------

    @property
    def _over(self) -> bool:
        """Whether no message will come any more."""
        other = self._handshake
        if self.close_code is not None:
            return True
        assert other.transport is not None
        # What was sent before the handler failed comes first.
        return self._raise_failures and other.failure is not None and other.transport.delivered

    def _wait(self, what: Callable[[], object], timeout: float) -> bool:
        with self._changed:
            return bool(self._changed.wait_for(what, timeout))

    def _settle(self) -> None:
        """Let the handler deal with what it has got, until it waits for more."""
        self._wait(self._settled, self._patience)

    def _settled(self) -> bool:
        other = self._handshake
        assert other.transport is not None
        return other.transport.quiet and (not other.runtime.busy or other.connection.awaited)

    def _check_open(self) -> None:
        self._raise_failure()
        if self.close_code is not None:
            raise WebSocketClosed(self.close_code, self.close_reason)

    def _raise_failure(self) -> None:
        failure = self._handshake.failure
        if self._raise_failures and failure is not None:
            self._handshake.failure = None
            raise failure

    def _doing(self) -> str:
        other = self._handshake
        if not other.runtime.busy:
            return "its handler waits for events" if self.close_code is None else "it has ended"
        if other.connection.awaited:
            return "its handler waits for a message"
        return f"its handler is busy {position(other.runtime.thread)}"
