"""The life of the Tornado server: threads, stopping, silent and stalled clients."""

from __future__ import annotations

import errno
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import pytest

from dualws.contract import Environ, ServerConfig, StartResponse
from dualws_tornado import server, stream
from dualws_tornado.backend import TornadoBackend
from support.raw import RawClient
from support.timing import QUIET, TIMEOUT, eventually
from support.tornado_server import running


def hello(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def get(client: RawClient) -> bytes:
    client.send_request("GET", "/", ("Host", "a"))
    return client.read_response().body


def test_it_runs_in_any_thread_and_stops_from_any_other_more_than_once() -> None:
    with running(hello) as inside:
        with inside.connect() as client:
            assert get(client) == b"hello"
        inside.server.stop()
        inside.server.stop()
        inside.thread.join(TIMEOUT)
        assert not inside.thread.is_alive()
        inside.server.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(inside.address)


def test_a_drain_may_begin_after_the_listening_sockets_are_closed() -> None:
    with running(hello) as inside:

        def stop_twice() -> None:
            inside.server.stop_accepting()
            inside.server.stop_accepting()

        inside.on_loop(stop_twice)


def test_a_stop_before_the_start_is_not_lost() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    made = TornadoBackend().make_server(hello, ServerConfig(), [listener])
    made.stop()
    thread = threading.Thread(target=made.run)
    thread.start()
    thread.join(TIMEOUT)
    assert not thread.is_alive()


def test_a_request_in_progress_is_finished_when_the_server_stops() -> None:
    called = threading.Event()
    go_on = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        called.set()
        go_on.wait(TIMEOUT)
        return hello(environ, start_response)

    with running(application) as inside, inside.connect() as idle, inside.connect() as busy:
        busy.send_request("GET", "/", ("Host", "a"))
        assert called.wait(TIMEOUT)
        inside.server.stop()
        idle.assert_closed()
        go_on.set()
        assert busy.read_response().body == b"hello"
        busy.assert_closed()


def test_a_request_that_does_not_end_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "GRACE", QUIET)
    called = threading.Event()
    go_on = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        called.set()
        go_on.wait(TIMEOUT * 4)
        return hello(environ, start_response)

    with running(application) as inside, inside.connect() as busy:
        busy.send_request("GET", "/", ("Host", "a"))
        assert called.wait(TIMEOUT)
        began = time.monotonic()
        inside.stop()
        assert time.monotonic() - began < TIMEOUT
        busy.assert_closed()
    go_on.set()


def test_silent_clients_are_closed_in_time() -> None:
    called = threading.Event()
    go_on = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/slow":
            called.set()
            go_on.wait(TIMEOUT)
        return hello(environ, start_response)

    with running(application, http_idle_timeout=QUIET, body_timeout=QUIET) as inside:
        with inside.connect() as mute, inside.connect() as half, inside.connect() as kept:
            slow = inside.connect()
            slow.send_request("GET", "/slow", ("Host", "a"))
            half.send_request("POST", "/", ("Host", "a"), ("Content-Length", "9"), body=b"half")
            assert get(kept) == b"hello"
            assert half.read_response().status == 408
            for client in (mute, half, kept):
                client.assert_closed()
        # Who waits for an answer is not silent.
        assert called.wait(TIMEOUT)
        go_on.set()
        with slow:
            assert slow.read_response().body == b"hello"


def test_a_request_whose_time_is_over_between_two_pieces_is_not_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last of its body waits in the stream's buffer when it is refused."""
    called: list[str] = []

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        called.append(environ["PATH_INFO"])
        return hello(environ, start_response)

    def received(self: stream.Stream, size: int) -> None:
        self.refuse("408 Request Timeout")

    monkeypatch.setattr(stream.Stream, "body_received", received)
    with running(application, threads=1) as inside:
        with inside.connect() as client:
            chunked = ("Transfer-Encoding", "chunked")
            body = b"5\r\nhello\r\n" * 2 + b"0\r\n\r\n"
            client.send_request("POST", "/", ("Host", "a"), chunked, body=body)
            assert client.read_response().status == 408
            client.assert_closed()
        with inside.connect() as client:
            client.send_request("GET", "/next", ("Host", "a"))
            assert client.read_response().body == b"hello"
    assert called == ["/next"]


def test_a_client_that_stops_reading_gives_the_thread_back() -> None:
    closed = threading.Event()

    class Endless:
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b"x" * 65536

        def close(self) -> None:
            closed.set()

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return Endless()

    limits = {"threads": 1, "response_timeout": QUIET}
    with running(application, **limits) as inside, inside.connect() as client:
        client.send_request("GET", "/", ("Host", "a"))
        assert closed.wait(TIMEOUT)
        eventually(lambda: not inside.server.http_connections, what="the connection is closed")


def test_running_out_of_descriptors_is_survived(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "ACCEPT_PAUSE", QUIET)

    class Exhausted:
        """A listener whose first accept finds no descriptor."""

        def __init__(self, listener: socket.socket) -> None:
            self._accepts: Iterator[Callable[[], object]] = iter([self._fail])
            self._listener = listener

        def __getattr__(self, name: str) -> object:
            return getattr(self._listener, name)

        def _fail(self) -> object:
            raise OSError(errno.EMFILE, "Too many open files")

        def accept(self) -> object:
            return next(self._accepts, self._listener.accept)()

    accept = server.WebSocketServer._accept
    exhausted: dict[int, Exhausted] = {}

    def accept_once_exhausted(self: server.WebSocketServer, listener: socket.socket) -> None:
        wrapped = exhausted.setdefault(listener.fileno(), Exhausted(listener))
        accept(self, wrapped)

    monkeypatch.setattr(server.WebSocketServer, "_accept", accept_once_exhausted)
    with running(hello) as inside, inside.connect() as client:
        assert get(client) == b"hello"
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "raise the limit of open files" in caplog.text
    caplog.clear()


def test_a_client_that_closed_its_side_does_not_keep_the_loop_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reads: list[int | None] = []
    ended, go_on = threading.Event(), threading.Event()
    read = stream.Stream.read_from_fd

    def counted(self: stream.Stream, buf: bytearray | memoryview) -> int | None:
        reads.append(read(self, buf))
        if self._half_closed:
            ended.set()
        return reads[-1]

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        assert go_on.wait(TIMEOUT)
        return hello(environ, start_response)

    monkeypatch.setattr(stream.Stream, "read_from_fd", counted)
    with running(application) as inside, inside.connect() as client:
        client.send_request("GET", "/", ("Host", "a"))
        client.finish_sending()
        assert ended.wait(TIMEOUT)
        before = len(reads)
        time.sleep(QUIET)
        assert len(reads) == before
        go_on.set()
        assert client.read_response().body == b"hello"
        client.assert_closed()


def test_the_time_of_others_passes_when_no_descriptor_is_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none_left(sock: socket.socket) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    with running(hello, header_timeout=QUIET) as inside:
        with monkeypatch.context() as patch, inside.connect() as first:
            patch.setattr(socket.socket, "dup", none_left)
            first.send(b"GET / HTTP/1.1\r\n")
            assert first.read_to_end() == b""
        with inside.connect() as second:
            second.send(b"GET / HTTP/1.1\r\n")
            assert second.read_to_end().startswith(b"HTTP/1.1 408 ")
    assert not [record for record in caplog.records if record.exc_info]
