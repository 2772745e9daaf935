"""The hot path, compiled or in Python: what it is, and that any bytes come to the same.

Law: the environments of tox run everything with one or the other; what is here looks at where the
compiled one decides by itself.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualws import hot
from dualws.connection import Connection
from dualws.hot import pure
from dualws.sentinels import ENDED, WAIT
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
    importlib.util.find_spec("dualws.hot._compiled") is None, reason="it is not compiled here"
)
def test_both_have_the_same_names() -> None:
    from dualws.hot import _compiled

    for name in ("Connection", "Stream", "Transport"):
        twin, compiled = getattr(pure, name), getattr(_compiled, name)
        names = {*vars(twin), *twin.__annotations__}
        ours = {one for one in names if not one.startswith("__")}
        # Python's own way for one message, and what has a C function of its own.
        missing = ours - set(dir(compiled)) - {"feed_one", "_pop", "_read"}
        assert not missing, name


# -- receiving ---------------------------------------------------------------------


def received(connection: Connection) -> list[object]:
    """What there is to take; "end" where it ends."""
    found: list[object] = []
    while (message := connection.take(None)) is not WAIT:
        if message is ENDED:
            return [*found, "end"]
        found.append(message)
    return found


def check(data: bytes, cuts: Iterable[int]) -> None:
    """What a handler is given of *data*, cut there, is what the model makes of it."""
    case = Case(max_message_size=MAX_SIZE)
    found: list[object] = []
    start = 0
    for cut in [*cuts, len(data)]:
        case.connection.data_received(data[start:cut])
        found += received(case.connection)
        start = cut
    wanted = expect(data, MAX_SIZE)
    messages = [event for event in wanted if isinstance(event, str | bytes)]
    assert [item for item in found if item != "end"] == messages
    last = wanted[-1] if wanted else None
    if isinstance(last, tuple) and last[0] in ("close", "fail"):
        assert case.connection.close_code in ([last[1]] if last[0] == "close" else last[1])
    else:
        assert case.connection.close_code is None
    assert case.connection.bytes_in == len(data)
    assert case.connection.messages_in == len(messages)
    assert case.connection._inbox_bytes == 0


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
    check(data, [])
    check(data, range(1, len(data)))
    for _ in range(3):
        cuts = source.draw(st.lists(st.integers(0, len(data)), max_size=4))
        check(data, sorted(cuts))


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


# -- the mutex ---------------------------------------------------------------------


@pytest.mark.skipif(hot.Mutex is None, reason="Python has one of its own")
def test_one_thread_at_a_time_has_the_mutex() -> None:
    assert hot.Mutex is not None
    mutex = hot.Mutex()
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
