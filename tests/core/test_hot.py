"""The hot path, compiled or in Python: what it is, and that any bytes come to the same.

Law: the environments of tox run everything with one or the other; what is here looks at where the
compiled one decides by itself.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualws import hot
from dualws.connection import Connection
from dualws.hot import pure
from dualws.protocol.stream import Stream
from dualws.sentinels import WAIT
from dualws.transport import SocketTransport
from support.cuts import check_cuts, received
from support.frames import build
from support.noted import Case
from support.stream_model import expect
from support.timing import TIMEOUT

TEXT, BINARY = 1, 2
KEY = b"\x37\xfa\x21\x3d"
MAX_SIZE = 150
WANTED = os.environ.get("DUALWS_PURE_PYTHON", "0") in ("", "0")


@pytest.mark.skipif(
    not os.environ.get("CI") and shutil.which("cc") is None, reason="there is no C compiler"
)
def test_it_is_compiled_unless_python_is_asked_for() -> None:
    assert hot.COMPILED is WANTED


def test_python_may_be_chosen() -> None:
    code = "from dualws import hot; print(hot.COMPILED)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "DUALWS_PURE_PYTHON": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=True,
    )
    assert run.stdout.strip() == "False"


@pytest.mark.skipif(
    not os.environ.get("CI") and importlib.util.find_spec("dualws.hot._compiled") is None,
    reason="it is not compiled here",
)
def test_both_have_the_same_names() -> None:
    from dualws.hot import _compiled

    for name in ("Connection", "Deflate", "Stream", "Transport"):
        twin, compiled = getattr(pure, name), getattr(_compiled, name)
        names = {*vars(twin), *twin.__annotations__}
        ours = {one for one in names if not one.startswith("__")}
        # Python's own way for one message, and what has a C function of its own.
        missing = ours - set(dir(compiled)) - {"feed_one", "_pop", "_read"}
        assert not missing, name


# -- receiving ---------------------------------------------------------------------


PAYLOADS = st.one_of(
    st.text(alphabet="aß€𝄞\x00", max_size=60).map(str.encode),
    st.sampled_from([b"\xc0\xaf", b"\xed\xa0\x80", b"ok\xf4\x90\x80\x80", b"\xe2\x82", b"\xff"]),
    st.binary(max_size=140),
    st.integers(120, 160).map(lambda size: b"x" * size),
)


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """Mostly what is taken at once, with all else between."""
    return build(
        draw(st.sampled_from([1, 1, 1, 2, 2, 0, 8, 9, 10, 3])),
        draw(PAYLOADS),
        fin=draw(st.sampled_from([True, True, True, False])),
        rsv=draw(st.sampled_from([0, 0, 0, 0, 4])),
        mask=draw(st.sampled_from([KEY, KEY, KEY, b"\0\0\0\0", None])),
        length=draw(st.sampled_from([None, None, None, None, 126, 65536, 1 << 63])),
    )


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(frames(), max_size=5).map(b"".join), st.data())
def test_every_cut_of_any_frames(data: bytes, source: st.DataObject) -> None:
    check_cuts(lambda: Case(max_message_size=MAX_SIZE), data, expect(data, MAX_SIZE), source)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 125, 126, 127, 65535, 65536, 70000])
@pytest.mark.parametrize("kind", ["ascii", "utf-8", "binary"])
def test_every_form_of_length(size: int, kind: str) -> None:
    text = "a" * size if kind == "ascii" else "ß" * (size // 2)
    message: str | bytes = bytes(range(256)) * (size // 256 + 1) if kind == "binary" else text
    message = message[:size]
    payload = message.encode() if isinstance(message, str) else message
    frame = build(BINARY if kind == "binary" else TEXT, payload, mask=KEY)
    for cut in (*range(16), len(frame) - 1, len(frame)):
        case = Case(max_message_size=len(payload))
        both = frame + frame
        for piece in (both[:cut], both[cut:]):
            case.connection.data_received(piece)
        assert received(case.connection) == [message, message]
    if payload:
        case = Case(max_message_size=len(payload) - 1)
        case.connection.data_received(frame)
        assert received(case.connection) == ["end"]
        assert case.connection.close_code == 1009


def test_a_peer_gets_no_more_than_its_turn() -> None:
    """256 messages, and the rest when the handler has come for those."""
    case = Case(max_queued_messages=1000)
    case.connection.data_received(build(TEXT, b"x", mask=KEY) * 300 + build(9, b"!", mask=KEY))
    assert case.connection.waiting[0] == 256
    assert not case.transport.reading
    assert received(case.connection) == ["x"] * 300
    assert case.transport.reading
    assert case.transport.written == [b"\x8a\x01!"]


def test_messages_after_the_end_are_counted_and_dropped() -> None:
    case = Case()
    case.connection.close()
    case.connection.data_received(build(TEXT, b"late", mask=KEY) * 3)
    assert received(case.connection) == ["end"]
    assert case.connection.messages_in == 3


def test_who_waits_for_more_hears_when_the_peer_turns_out_to_be_gone() -> None:
    """What was kept back goes out then, and nobody takes it."""
    case = Case()
    case.connection.data_received(build(TEXT, b"x", mask=KEY) * 2)
    assert case.connection.take(None) == "x"
    case.connection.send_message("kept")
    case.transport.buffered = -1
    assert received(case.connection) == ["x"]
    assert case.transport.written == [build(TEXT, b"kept", mask=None)]


def test_reading_pauses_when_much_comes_at_once_whoever_waits() -> None:
    case = Case(max_queued_messages=4)
    assert case.take() is WAIT
    case.receive(build(TEXT, b"x", mask=KEY) * 5)
    assert case.ready == 1
    assert not case.transport.reading
    assert received(case.connection) == ["x"] * 5
    assert case.transport.reading


def test_limits_may_be_as_large_as_one_likes() -> None:
    most = 1 << 70
    case = Case(max_message_size=most, send_buffer_size=most, max_queued_messages=most)
    case.receive(build(TEXT, b"x", mask=KEY))
    assert received(case.connection) == ["x"]
    assert case.connection.send_message("y") is True


def test_bytes_may_come_in_any_form() -> None:
    case = Case()
    frame: Any = bytearray(build(TEXT, b"x", mask=KEY))
    case.connection.data_received(frame)
    assert received(case.connection) == ["x"]


@pytest.mark.parametrize(("size", "form"), [(125, 2), (0, 2), (125, 8), (65535, 8)])
def test_a_length_that_is_not_in_its_shortest_form_is_refused(size: int, form: int) -> None:
    case = Case()
    marker = {2: 0xFE, 8: 0xFF}[form]
    case.receive(bytes([0x82, marker]) + size.to_bytes(form, "big") + KEY + bytes(size))
    assert received(case.connection) == ["end"]
    assert case.connection.close_code == 1002


class Plain(SocketTransport):
    """A transport whose loop is the test."""

    def __init__(self, owner: Connection) -> None:
        sock, self.peer = socket.socketpair()
        sock.setblocking(False)
        super().__init__(sock, owner, threading.Lock(), b"")

    def _call_soon(self, function: Callable[[], object]) -> None:
        function()

    def _watch_reading(self, on: bool) -> None:
        """The test says when there is something."""

    def _watch_writing(self, on: bool) -> None:
        """Nothing waits for the peer."""


def test_what_a_finalizer_receives_is_nobody_elses() -> None:
    """The error of what is no UTF-8 may have garbage collected, in the midst of what came."""

    class Garbage:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            theirs._on_readable()

    connections = [Connection(Case().server, Stream()) for _ in range(2)]
    mine, theirs = (Plain(connection) for connection in connections)
    for connection, transport in zip(connections, (mine, theirs), strict=True):
        connection.open(transport)
    theirs.peer.send(build(TEXT, b"a secret of another peer", mask=KEY) * 3)
    bad = build(TEXT, "ß".encode() + b"\xff" + b"x" * 20, mask=KEY)
    mine.peer.send(build(TEXT, b"mine", mask=KEY) + bad)
    before = gc.get_threshold()
    gc.collect()
    gc.disable()
    Garbage()
    gc.set_threshold(1)
    gc.enable()
    try:
        mine._on_readable()
    finally:
        gc.set_threshold(*before)
    assert received(connections[0]) == ["mine", "end"]
    assert connections[0].close_code == 1007
    assert gc.isenabled()
    for transport in (mine, theirs):
        transport.peer.close()
        transport.abort()


# -- sending -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
@pytest.mark.parametrize("kind", ["ascii", "utf-8", "binary"])
def test_a_message_that_is_sent_is_one_frame(size: int, kind: str) -> None:
    data: str | bytes = {"ascii": "a" * size, "utf-8": "ß" * (size // 2), "binary": b"\0" * size}[
        kind
    ]
    payload = data.encode() if isinstance(data, str) else data
    case = Case()
    assert case.connection.send_message(data) is True
    assert case.transport.written == [
        build(TEXT if isinstance(data, str) else BINARY, payload, mask=None)
    ]
    assert case.connection.messages_out == 1
    assert case.connection.bytes_out == len(case.transport.written[0])


def test_what_is_not_plainly_one_goes_the_long_way() -> None:
    class Text(str):
        """Not quite a str."""

    case = Case()
    for data in (bytearray(b"x"), memoryview(b"x"), Text("x"), iter("x"), None):
        assert case.connection.send_message(data) is None
    case.connection.behind = True
    assert case.connection.send_message("x") is None
    assert case.transport.written == []


def test_text_that_utf_8_does_not_have_is_refused() -> None:
    case = Case()
    with pytest.raises(UnicodeEncodeError):
        case.connection.send_message("\ud800")
    assert case.connection.messages_out == 0


def test_nothing_is_sent_before_it_is_open() -> None:
    connection = Connection(Case().server, Stream())
    for send in (connection.send_message, connection.send_nowait):
        with pytest.raises(AttributeError, match="_transport"):
            send(b"x")
    connection.data_received(build(TEXT, b"x", mask=KEY))
    assert received(connection) == ["x"]


def test_a_transport_that_lacks_a_method_cannot_be_made() -> None:
    class Lacking(SocketTransport):
        def _call_soon(self, function: object) -> None:
            """All that it has."""

    with pytest.raises(TypeError, match="abstract"):
        Lacking(None, None, None, b"")  # type: ignore[abstract]  # what is tested


# -- the mutex ---------------------------------------------------------------------


#: What backends make: the compiled one, or Python's.
make_mutex: Callable[[], Any] = hot.Mutex or threading.Lock


def test_one_thread_at_a_time_has_the_mutex() -> None:
    mutex = make_mutex()
    order: list[str] = []
    begun = threading.Event()

    def second() -> None:
        begun.set()
        with mutex:
            order.append("second")

    thread = threading.Thread(target=second)
    with mutex:
        thread.start()
        assert begun.wait(TIMEOUT)
        order.append("first")
    thread.join(TIMEOUT)
    assert order == ["first", "second"]
    assert not mutex.locked()
    with pytest.raises(RuntimeError, match="unlocked"):
        mutex.__exit__(None, None, None)


def test_a_condition_can_be_made_of_the_mutex() -> None:
    """As :class:`dualws.executors.HandlerExecutor` does for each call of a coroutine."""
    mutex = (hot.Mutex or threading.Lock)()
    condition = threading.Condition(cast(threading.Lock, mutex))
    ready: list[bool] = []

    def wake() -> None:
        with condition:
            ready.append(True)
            condition.notify_all()

    thread = threading.Thread(target=wake)
    with condition:
        thread.start()
        assert condition.wait_for(lambda: ready, TIMEOUT)
    thread.join(TIMEOUT)
    with pytest.raises(RuntimeError, match="un-acquired"):
        condition.notify()


def test_many_threads_take_the_mutex_in_turn() -> None:
    mutex = make_mutex()
    inside: list[int] = []
    counts = [0] * 8

    def work(number: int) -> None:
        for _ in range(300):
            with mutex:
                inside.append(number)
                time.sleep(0)  # others come meanwhile
                assert inside == [number]
                inside.clear()
            counts[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(counts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert counts == [300] * 8


@pytest.mark.skipif(not hot.COMPILED, reason="Python counts what all threads send")
def test_only_who_does_not_wait_is_to_give_way() -> None:
    connection = Case().connection
    assert any(hot.others_turn() for _ in range(1000))
    for _ in range(1000):
        assert connection.send_message("x") is True
        assert connection.take(None) is WAIT
    sent = [connection.send_message("x") for _ in range(1000)]
    assert sent.index(None) < 200
    assert hot.others_turn()
    assert connection.send_message("x") is True
