"""What a connection keeps back is counted, sent in time, and no fault of the peer."""

from __future__ import annotations

import io

import pytest

from dualws.connection import Connection
from dualws.errors import WebSocketClosed
from dualws.limits.limits import Limits
from dualws.protocol.stream import Stream
from dualws.serving.environ import FileBlocks
from support.noted import Case, NotedTransport, frame


@pytest.fixture
def case() -> Case:
    return Case()


def answer_the_first_of_two(case: Case) -> None:
    case.receive(frame(0x81, b"a"), frame(0x81, b"b"))
    assert case.take() == "a"
    case.connection.send(b"answer")
    assert case.transport.written == []


def test_what_is_kept_back_is_sent_before_a_peer_counts_as_slow(case: Case) -> None:
    answer_the_first_of_two(case)
    case.connection.allow(0)
    assert case.connection.send_nowait(b"broadcast")
    assert b"".join(case.transport.written) == b"answerbroadcast"
    assert case.connection.close_code is None


def test_a_peer_that_is_slow_gets_1008_whatever_is_kept_back(case: Case) -> None:
    case.transport.buffered = 1
    assert case.connection.write(b"of which a byte has not gone out")
    case.transport.written.clear()
    answer_the_first_of_two(case)
    case.connection.allow(0)
    assert not case.connection.send_nowait(b"broadcast")
    assert case.connection.close_code == 1008


def test_who_answers_while_more_waits_hears_how_slow_the_peer_is(case: Case) -> None:
    connection, transport = case.connection, case.transport
    full = transport.buffered = case.config.send_buffer_size + 1
    assert not connection.write(b"before")
    case.receive(frame(0x81, b"a"), frame(0x81, b"b"))
    assert case.take() == "a"
    assert not connection.write(b"kept back")
    transport.buffered = 0
    connection.drained()
    assert connection.write(b"kept back")
    assert transport.written == [b"before"]
    # Another thread may write again before the transport has told that all was taken.
    transport.buffered = full
    connection.drained()
    assert not connection.write(b"kept back")
    transport.buffered = -1
    connection.flush()
    with pytest.raises(WebSocketClosed):
        connection.write(b"to nobody")


def test_it_counts_as_waiting_in_memory(case: Case) -> None:
    assert case.connection.received == 0
    answer_the_first_of_two(case)
    assert case.connection.received == len("b") + len(b"answer")
    assert case.connection.begin_fragments(lambda: None)
    case.connection.write(b"held")
    assert case.connection.received == len("b") + len(b"answer") + len(b"held")
    case.connection.connection_lost(None)
    assert case.connection.kept == len(b"held")


def test_a_connection_that_is_lost_before_it_is_open_is_not_kept(case: Case) -> None:
    late = Connection(case.server, Stream())
    late._transport = NotedTransport()
    late.connection_lost(None)
    late.open(NotedTransport())
    assert case.forgotten == [late, late]
    assert not late._transport.reading


def test_all_are_told_what_was_judged_last(case: Case) -> None:
    limits = Limits(case.server)
    limits.full = True
    allowed: dict[int, int] = {}

    class Told:
        def allow(self, size: int) -> None:
            if not allowed:
                limits.full = False  # as another thread, which is done before this one
            allowed[id(self)] = size

    case.server.connections = [Told(), Told()]
    limits._allow()
    assert list(allowed.values()) == [case.config.send_buffer_size] * 2


def test_files_are_read_in_large_pieces() -> None:
    assert next(iter(FileBlocks(io.BytesIO(bytes(100_000)), 10))) == bytes(64 * 1024)
