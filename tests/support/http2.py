"""An HTTP/2 client on one TLS connection: requests, and websockets over it (RFC 8441).

Law: the protocol is the library h2's; this only moves bytes, and waits for what it is asked for.
"""

from __future__ import annotations

import dataclasses
import socket

import h2.config
import h2.connection
import h2.events
import h2.settings

from support.proxies import HOST, Certificate
from support.raw import RawClient
from support.timing import TIMEOUT

_EXTENDED_CONNECT = h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL


@dataclasses.dataclass
class Answer:
    """What came on one stream so far."""

    status: int = 0
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytearray = dataclasses.field(default_factory=bytearray)
    ended: bool = False
    #: Error code with which the server gave the stream up.
    reset: int | None = None


class Http2Client:
    """One connection.

    :param address: where the server listens
    :param certificate: what it must show
    """

    def __init__(self, address: tuple[str, int], certificate: Certificate) -> None:
        self.netloc = f"{HOST}:{address[1]}"
        plain = socket.create_connection(address, TIMEOUT)
        self.sock = certificate.context("h2").wrap_socket(plain, server_hostname=HOST)
        assert self.sock.selected_alpn_protocol() == "h2"
        configuration = h2.config.H2Configuration(client_side=True, header_encoding="latin-1")
        self.h2 = h2.connection.H2Connection(configuration)
        self.answers: dict[int, Answer] = {}
        self._settled = False
        self.h2.initiate_connection()
        self.flush()
        while not self._settled:
            self.receive()

    def __enter__(self) -> Http2Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.sock.close()

    @property
    def extended_connect(self) -> bool:
        """Whether the server takes websockets (RFC 8441 section 3)."""
        return self.h2.remote_settings.get(_EXTENDED_CONNECT) == 1

    def flush(self) -> None:
        """Send what the protocol has to say."""
        self.sock.sendall(self.h2.data_to_send())

    def receive(self) -> None:
        """Take what comes next."""
        data = self.sock.recv(65536)
        assert data, "the server has closed the connection"
        for event in self.h2.receive_data(data):
            self._take(event)
        self.flush()

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self._settled = True
        elif isinstance(event, h2.events.ResponseReceived):
            answer = self.answers[event.stream_id]
            answer.headers = {str(name): str(value) for name, value in event.headers}
            answer.status = int(answer.headers.pop(":status"))
        elif isinstance(event, h2.events.DataReceived):
            self.answers[event.stream_id].body += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.answers[event.stream_id].ended = True
        elif isinstance(event, h2.events.StreamReset):
            answer = self.answers[event.stream_id]
            answer.ended = True
            answer.reset = int(event.error_code)

    def start(self, method: str, path: str, *headers: tuple[str, str], end: bool = True) -> int:
        """Begin a request; the number of its stream."""
        stream = self.h2.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", "https"), (":path", path)]
        fields += [(":authority", self.netloc)]
        pseudo = [field for field in headers if field[0].startswith(":")]
        rest = [field for field in headers if field not in pseudo]
        self.answers[stream] = Answer()
        self.h2.send_headers(stream, [*fields, *pseudo, *rest], end_stream=end)
        self.flush()
        return stream

    def get(self, path: str, *headers: tuple[str, str]) -> Answer:
        """A GET, and its whole answer."""
        answer = self.answers[self.start("GET", path, *headers)]
        while not answer.ended:
            self.receive()
        assert answer.reset is None, answer
        return answer

    def websocket(self, path: str, *headers: tuple[str, str]) -> Http2Websocket:
        """A websocket in a stream of its own; its answer may be a refusal."""
        more = ((":protocol", "websocket"), ("sec-websocket-version", "13"), *headers)
        stream = self.start("CONNECT", path, *more, end=False)
        while not (answer := self.answers[stream]).status:
            assert answer.reset is None, answer
            self.receive()
        return Http2Websocket(self, stream)


class Http2Websocket(RawClient):
    """The bytes of one stream, to be read and written like those of a connection."""

    def __init__(self, client: Http2Client, stream: int) -> None:
        self.client = client
        self.stream = stream
        self.answer = client.answers[stream]
        self._buffer = self.answer.body

    def send(self, data: bytes) -> None:
        """Send bytes as they are, as fast as the server takes them."""
        while data:
            room = self.client.h2.local_flow_control_window(self.stream)
            if not room:
                self.client.receive()
                continue
            piece = data[: min(room, self.client.h2.max_outbound_frame_size)]
            self.client.h2.send_data(self.stream, piece)
            self.client.flush()
            data = data[len(piece) :]

    def fill(self) -> bool:
        """Wait for more bytes; False when the server has ended the stream."""
        size = len(self._buffer)
        while len(self._buffer) == size and not self.answer.ended:
            self.client.receive()
        return len(self._buffer) > size

    def close(self) -> None:
        """End the stream; the connection stays."""
        if not self.answer.ended:
            self.client.h2.end_stream(self.stream)
            self.client.flush()
