"""The connection's state machine, step by step, with a transport and a runtime that only note."""

from __future__ import annotations

import zlib

import pytest

from dualws import pubsub
from dualws.connection import ENDED, WAIT
from dualws.errors import MessageTooBig, SendTimeout, WebSocketClosed
from dualws.keepalive import close_all
from dualws.protocol.deflate import Agreement, Deflate
from dualws.protocol.stream import Stream
from support.noted import Case, frame


@pytest.fixture
def case() -> Case:
    return Case()


def test_messages_are_taken_in_order_and_the_waiting_one_is_called_once(case: Case) -> None:
    assert case.transport.reading
    assert case.take() is WAIT
    case.receive(frame(0x81, b"one"), frame(0x82, b"two"))
    case.receive(frame(0x81, b"three"))
    assert case.ready == 1
    assert [case.take(), case.take(), case.take(), case.take()] == ["one", b"two", "three", WAIT]


def test_two_readers_are_refused(case: Case) -> None:
    assert case.take() is WAIT
    with pytest.raises(RuntimeError, match="other code waits"):
        case.take()
    assert case.connection.cancel_take()
    assert not case.connection.cancel_take()
    assert case.take() is WAIT


def test_pings_are_answered_while_the_handler_is_busy(case: Case) -> None:
    case.receive(frame(0x89, b"hi"))
    assert case.transport.written == [b"\x8a\x02hi"]


def test_pongs_are_not_piled_up_for_a_peer_that_does_not_read(case: Case) -> None:
    case.transport.buffered = 100_000
    case.receive(frame(0x89, b"hi"))
    assert case.transport.written == []


def test_the_peers_close_is_answered_at_once_when_the_handler_waits(case: Case) -> None:
    assert case.take() is WAIT
    case.receive(frame(0x88, b"\x0f\xa0bye"))
    assert case.transport.written == [b"\x88\x05\x0f\xa0bye"]
    assert case.transport.ended == "closed"
    assert case.ready == 1
    assert case.take() is ENDED
    assert (case.connection.close_code, case.connection.close_reason) == (4000, "bye")


def test_a_close_without_a_code_is_answered_without_one(case: Case) -> None:
    assert case.take() is WAIT
    case.receive(frame(0x88))
    assert case.transport.written == [b"\x88\x00"]
    assert case.connection.close_code == 1005


def test_queued_messages_are_delivered_and_may_be_answered_before_the_close(case: Case) -> None:
    case.receive(frame(0x81, b"a"), frame(0x81, b"b"), frame(0x88, b"\x03\xe8"))
    for expected in ("a", "b"):
        assert case.take() == expected
        case.connection.send(b"echo")
    assert case.transport.ended == ""
    assert case.take() is ENDED
    assert case.transport.written == [b"echoecho", b"\x88\x02\x03\xe8"]
    assert case.transport.ended == "closed"


def test_good_messages_are_answered_before_the_peers_error_is(case: Case) -> None:
    assert case.take() is WAIT
    case.receive(frame(0x81, b"good"), frame(0x83))
    assert case.ready == 1
    assert case.take() == "good"
    case.connection.send(b"echo")
    assert case.take() is ENDED
    assert case.transport.written[0] == b"echo"
    assert case.transport.written[1][2:4] == b"\x03\xea"


def test_a_busy_handler_does_not_hold_up_the_close_for_long(case: Case) -> None:
    case.receive(frame(0x81, b"unread"), frame(0x88, b"\x03\xe8"))
    assert case.transport.written == []
    (grace,) = case.runtime.timers
    grace.call()
    assert case.transport.written == [b"\x88\x02\x03\xe8"]
    with pytest.raises(WebSocketClosed) as caught:
        case.connection.send(b"late")
    assert caught.value.code == 1000
    assert case.take() == "unread"
    assert case.take() is ENDED
    assert len(case.transport.written) == 1


def test_closing_first_sends_one_close_and_waits_for_the_answer(case: Case) -> None:
    assert case.take() is WAIT
    case.connection.close(4001, "done")
    case.connection.close(4002, "again")
    assert case.transport.written == [b"\x88\x06\x0f\xa1done"]
    assert case.transport.ended == ""
    assert case.take() is ENDED
    case.receive(frame(0x81, b"crossed"), frame(0x88, b"\x0f\xa1"))
    assert case.transport.ended == "closed"
    assert len(case.transport.written) == 1
    assert case.connection.close_code == 4001


def test_a_peer_that_does_not_answer_the_close_is_aborted(case: Case) -> None:
    case.connection.close()
    (abort,) = case.runtime.timers
    assert abort.delay == case.config.close_timeout
    abort.call()
    assert case.transport.ended == "aborted"
    case.connection.connection_lost(None)
    assert abort.cancelled


def test_losing_the_connection_ends_everything_once(case: Case) -> None:
    lost: list[bool] = []
    case.connection.on_lost = lambda: lost.append(True)
    assert case.take() is WAIT
    case.connection.connection_lost(ConnectionResetError("reset"))
    assert case.ready == 1
    assert case.take() is ENDED
    assert case.connection.close_code == 1006
    assert case.forgotten == [case.connection]
    assert lost == [True]
    assert case.transport.written == []
    with pytest.raises(WebSocketClosed, match="1006"):
        case.connection.send(b"x")


def test_half_close_delivers_what_came_and_sends_no_close_frame(case: Case) -> None:
    case.receive(frame(0x81, b"last"))
    case.connection.eof_received()
    assert case.take() == "last"
    case.connection.send(b"answer")
    assert case.take() is ENDED
    assert case.transport.written == [b"answer"]
    assert case.transport.ended == "closed"
    assert case.connection.close_code == 1006


def test_a_peer_that_closes_instead_of_answering_our_close_is_not_waited_for(case: Case) -> None:
    case.connection.close(4001, "done")
    assert case.transport.ended == ""
    case.connection.eof_received()
    assert case.transport.ended == "closed"
    assert case.connection.close_code == 4001
    assert len(case.transport.written) == 1


def test_a_message_over_the_limit_is_1009() -> None:
    case = Case(max_message_size=10)
    assert case.take() is WAIT
    case.receive(frame(0x81, b"x" * 11))
    assert case.transport.written[0][2:4] == b"\x03\xf1"
    with pytest.raises(MessageTooBig):
        case.connection.send(b"x")


def test_reading_pauses_while_the_inbox_is_full_and_goes_on_when_half_is_taken() -> None:
    case = Case(max_queued_messages=4)
    case.receive(*[frame(0x81, b"%d" % i) for i in range(3)])
    assert case.transport.reading
    case.receive(frame(0x81, b"3"))
    assert not case.transport.reading
    assert case.take() == "0"
    assert not case.transport.reading
    assert case.take() == "1"
    assert case.transport.reading


def test_the_inbox_is_bounded_in_bytes_too() -> None:
    case = Case(max_message_size=100)
    case.receive(frame(0x82, b"x" * 90))
    assert case.transport.reading
    case.receive(frame(0x82, b"x" * 90))
    assert not case.transport.reading


def test_a_burst_is_parsed_in_portions_and_none_of_it_is_lost(case: Case) -> None:
    case.receive(*[frame(0x81, b"%d" % i) for i in range(2000)])
    assert not case.transport.reading
    assert [case.take() for _ in range(2001)] == [*map(str, range(2000)), WAIT]
    assert case.transport.reading


def test_closing_first_finds_the_peers_close_behind_a_burst(case: Case) -> None:
    case.receive(*[frame(0x81, b"x")] * 2000, frame(0x88))
    case.connection.close()
    assert case.transport.ended == "closed"


def test_receive_waits_times_out_and_ends(case: Case) -> None:
    case.runtime.plan = [
        lambda: case.receive(frame(0x81, b"late")),
        lambda: None,
        lambda: case.receive(frame(0x88)),
    ]
    assert case.connection.receive() == "late"
    with pytest.raises(TimeoutError):
        case.connection.receive(timeout=1)
    assert case.connection.receive() is None


def test_a_message_that_comes_just_at_the_timeout_is_not_lost(case: Case) -> None:
    waiter = case.connection._waiter = case.runtime.waiter()
    wake = waiter.wake
    waiter.wake = lambda: None  # it comes after the wait is over

    def just_too_late() -> None:
        case.receive(frame(0x81, b"x"))
        case.runtime.plan.append(wake)

    case.runtime.plan = [just_too_late]
    assert case.connection.receive(timeout=1) == "x"


def test_send_waits_for_a_slow_peer() -> None:
    case = Case(send_buffer_size=100)

    def drain() -> None:
        case.transport.buffered = 0
        case.connection.drained()

    case.transport.buffered = 500
    case.runtime.plan = [drain]
    case.connection.send(b"x")
    assert case.transport.ended == ""
    assert not case.runtime.plan


def test_send_gives_a_peer_that_still_reads_more_time() -> None:
    case = Case(send_buffer_size=100)

    def drain() -> None:
        case.transport.buffered = 0
        case.connection.drained()

    case.transport.buffered = 500
    case.runtime.plan = [lambda: setattr(case.transport, "buffered", 400), drain]
    case.connection.send(b"x")
    assert not case.runtime.plan


def test_send_to_a_peer_that_does_not_read_times_out_with_1008(
    caplog: pytest.LogCaptureFixture,
) -> None:
    case = Case(send_buffer_size=100)
    case.transport.buffered = 500
    with pytest.raises(SendTimeout):
        case.connection.send(b"x")
    assert case.connection.close_code == 1008
    assert "reads too slowly" in caplog.text


def test_a_broadcast_does_not_wait_but_closes_the_slow(caplog: pytest.LogCaptureFixture) -> None:
    slow, quick = Case(send_buffer_size=100), Case()
    slow.transport.buffered = 101
    assert not slow.connection.write(b"what has not gone out")
    for case in (slow, quick):
        pubsub.subscribe(case.connection, "news")
    assert pubsub.publish("news", "hello") == 1
    assert quick.transport.written == [b"\x81\x05hello"]
    assert slow.connection.close_code == 1008
    quick.connection.close()
    assert pubsub.publish("news", "hello") == 0
    for case in (slow, quick):
        case.connection.connection_lost(None)
    assert pubsub.publish("news", "hello") == 0
    assert "news" not in pubsub._topics


def test_a_lost_connection_cannot_be_kept_by_a_topic(case: Case) -> None:
    case.connection.connection_lost(None)
    pubsub.subscribe(case.connection, "news")
    assert "news" not in pubsub._topics


def test_silence_is_pinged_and_then_given_up(case: Case) -> None:
    ticks = {"ping_after": 4, "dead_after": 8}
    for _ in range(5):
        case.connection.tick(**ticks)
    assert case.transport.written == [b"\x89\x00"]
    case.receive(frame(0x8A))
    for _ in range(8):
        case.connection.tick(**ticks)
    assert case.connection.close_code is None
    case.connection.tick(**ticks)
    assert case.connection.close_code == 1011


def test_a_peer_that_is_not_read_from_is_not_taken_for_dead() -> None:
    case = Case(max_queued_messages=1)
    case.receive(frame(0x81, b"x"))
    for _ in range(100):
        case.connection.tick(4, 8)
    assert case.connection.close_code is None


def test_the_goodbye_of_a_stopping_server_has_a_limit(case: Case) -> None:
    case.server.connections.add(case.connection)
    close_all(case.server)
    assert case.transport.written[0][2:4] == b"\x03\xe9"
    assert case.transport.ended == "aborted"


def test_a_read_full_of_pings_does_not_stop_what_follows(case: Case) -> None:
    assert case.take() is WAIT
    case.receive(*[frame(0x89, b"x")] * 1000, frame(0x81, b"after"))
    assert case.ready == 1
    assert case.take() == "after"
    assert case.transport.reading
    assert case.transport.written == [b"\x8a\x01x" * 16]


def test_reading_stays_paused_while_the_inbox_holds_many_bytes() -> None:
    case = Case(max_message_size=200)
    case.receive(*[frame(0x82, b"x" * 100)] * 6)
    assert not case.transport.reading
    for _ in range(4):
        case.take()
    assert not case.transport.reading
    case.take()
    assert case.transport.reading


def compressed(size: int, first: int, part: slice = slice(None)) -> bytes:
    """A frame with (part of) *size* zeros, compressed."""
    compressor = zlib.compressobj(wbits=-15)
    data = compressor.compress(bytes(size)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    payload = data[:-4][part]
    head = bytes([first, 0xFE]) + len(payload).to_bytes(2, "big")
    return head + b"\0\0\0\0" + payload


def inflating(case: Case) -> Case:
    agreement = Agreement(
        server_no_context_takeover=True,
        client_no_context_takeover=True,
        server_max_window_bits=15,
        client_max_window_bits=15,
    )
    case.connection._stream = Stream(1 << 20, deflate=Deflate(agreement))
    return case


def test_a_turn_of_inflating_inside_a_message_does_not_stop_it(case: Case) -> None:
    inflating(case)
    size = 1 << 20
    assert case.take() is WAIT
    case.receive(
        compressed(size, 0x42, slice(800)), compressed(size, 0x80, slice(800, None)), frame(0x89)
    )
    assert case.ready == 1
    assert case.take() == bytes(size)
    assert case.transport.reading
    assert case.transport.written == [b"\x8a\x00"]


def test_one_read_full_of_bombs_is_inflated_as_the_handler_takes_them(case: Case) -> None:
    inflating(case)
    size = 1 << 20
    case.receive(*[compressed(size, 0xC2)] * 10)
    held = len(case.connection._inbox)
    assert held == 1
    assert not case.transport.reading
    for _ in range(9):
        assert case.take() == bytes(size)
        assert len(case.connection._inbox) == 1
    assert case.take() == bytes(size)
    assert case.take() is WAIT
    assert case.transport.reading


def test_what_comes_after_our_close_is_not_inflated(case: Case) -> None:
    inflating(case)
    case.connection.close(1000)
    case.receive(*[compressed(1 << 20, 0xC2)] * 10, frame(0x88, b"\x03\xe8"))
    assert case.connection._stream._inflated == 0
    assert case.transport.ended == "closed"
