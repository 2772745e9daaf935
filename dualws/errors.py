"""Every exception that dualws raises, in one tree.

::

    DualwsError
     +-- ConfigurationError         something must be changed before the server can start
     |    +-- BackendError          about a backend plugin; the text names the cure
     |    |    +-- UnknownBackend           no plugin has this name
     |    |    +-- MissingLibrary           the plugin is there, its library is not
     |    |    +-- BrokenBackend            the plugin fails while it is imported
     |    |    +-- IncompatibleBackend      written for another version of the contract
     |    |    +-- AmbiguousBackend         two distributions offer the same name
     |    +-- PreparedTooLate       a module that had to be patched first is already imported
     |    +-- ApplicationNotFound   MODULE:NAME does not lead to a WSGI application
     |    +-- AddressUnavailable    the address cannot be listened on
     +-- HandshakeError             an upgrade request that cannot become a websocket
     +-- WebSocketError             about one live websocket
          +-- InvalidMessage        a message is not what the handler expects: no JSON
          +-- WebSocketClosed       it is closed; has the close code and the reason
               +-- SendTimeout      closed (1008) because the peer did not read
               +-- MessageTooBig    closed (1009) because a message passed the limit

``ConfigurationError`` is reported by the command line as one message without a
traceback, so its text says what was wrong, where, and the cure.
"""

from __future__ import annotations


class DualwsError(Exception):
    """Base of all exceptions of dualws."""


class ConfigurationError(DualwsError):
    """Something must be changed before the server can start."""


class BackendError(ConfigurationError):
    """A backend cannot be used."""


class UnknownBackend(BackendError):
    """No installed plugin has the name that was asked for."""


class MissingLibrary(BackendError):
    """The backend's plugin is installed, the library that it runs on is not."""


class BrokenBackend(BackendError):
    """The plugin raised while it was imported; ``__cause__`` is what it raised."""


class IncompatibleBackend(BackendError):
    """The plugin implements another version of the contract."""


class AmbiguousBackend(BackendError):
    """Two distributions offer a backend of the same name."""


class PreparedTooLate(ConfigurationError):
    """A module that had to be imported after the backend's preparation was imported before it."""


class ApplicationNotFound(ConfigurationError):
    """``MODULE:NAME`` does not lead to a WSGI application."""


class AddressUnavailable(ConfigurationError):
    """The server cannot listen on the address."""


class HandshakeError(DualwsError):
    """An upgrade request that cannot become a websocket.

    :param reason: one sentence: what is wrong with the request
    :param status: HTTP status of a fitting answer: 400, 403, 426 or 503
    :param headers: headers that the answer must carry
    """

    def __init__(
        self, reason: str, status: int = 400, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.headers = headers


class WebSocketError(DualwsError):
    """About one live websocket."""


class InvalidMessage(WebSocketError, ValueError):
    """A message that came is not what the handler expects.

    A handler that lets it out closes the websocket with 1007: it is the peer's mistake.

    :param reason: what is wrong with it, and where
    :param data: the message
    """

    def __init__(self, reason: str, data: str | bytes) -> None:
        super().__init__(reason)
        self.reason = reason
        self.data = data


class WebSocketClosed(WebSocketError):
    """The websocket is closed, or is closing, and takes no more messages.

    :param code: close code (RFC 6455 section 7.4); 1006 when there was no close frame
    :param reason: the close frame's reason, often empty
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"websocket closed: {code}" + (f" ({reason})" if reason else ""))
        self.code = code
        self.reason = reason


class SendTimeout(WebSocketClosed):
    """The peer read too slowly for longer than the send timeout; closed with 1008."""


class MessageTooBig(WebSocketClosed):
    """The peer sent a message over the size limit; closed with 1009."""
