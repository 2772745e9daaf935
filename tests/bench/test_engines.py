"""Both engines of the load keep the same law against servers that do and do not answer well."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.peer import echo, head_of, serving
from dualws.bench import native
from dualws.bench.errors import BenchmarkError
from dualws.bench.load import engine_for
from dualws.bench.plan import Engine, Plan
from support.machine import needs
from support.timing import SCALE, TIMEOUT

Make = Callable[..., Engine]
FRAME = b"\x82\x05hello"
#: Long enough for a machine with other work to serve some thousand messages.
A_WHILE = 0.2 * SCALE


@pytest.fixture(params=[pytest.param("c", marks=needs("cc")), "python"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    engines = []

    def made(port: int, **changes: Any) -> Engine:
        plan = Plan(
            host="127.0.0.1",
            port=port,
            connections=3,
            in_flight=2,
            at_once=2,
            ring=(FRAME,) * 3,
            answer=FRAME,
        )
        engine = engine_for(request.param, dataclasses.replace(plan, **changes))
        engines.append(engine)
        return engine

    yield made
    for engine in engines:
        engine.discard()


def finish(engine: Engine) -> list[int]:
    """Everything after the opening; answers of each connection."""
    engine.start()
    engine.drive(A_WHILE)
    engine.clear()
    assert engine.drive(A_WHILE) >= A_WHILE
    counts, latencies = engine.counts(), engine.latencies()
    assert 0 < latencies.p50 <= latencies.p99 <= latencies.slowest
    engine.close()
    return counts


def test_messages_go_to_and_fro_on_every_connection(make: Make) -> None:
    with serving(echo) as port:
        engine = make(port)
        engine.open()
        counts = finish(engine)
    assert len(counts) == 3
    assert min(counts) > 0


def test_each_of_the_people_opens_with_its_own_number(make: Make) -> None:
    heads: list[bytes] = []

    def open_and_echo(sock: socket.socket, members: list[socket.socket]) -> None:
        heads.append(head_of(sock))
        sock.sendall(b"HTTP/1.1 101 \r\n\r\n")
        echo(sock, members)

    opening = b"GET / HTTP/1.1\r\nCookie: number=00000\r\n\r\n"
    opened = {"opening": opening, "opened": b"HTTP/1.1 101 ", "number_at": opening.index(b"00000")}
    with serving(open_and_echo) as port:
        engine = make(port, connections=5, people=3, **opened)
        engine.open()
        assert min(finish(engine)) > 0
    numbers = [0, 0, 1, 1, 2]
    assert sorted(heads) == [opening.replace(b"00000", b"%05d" % one) for one in numbers]


def test_long_messages_are_sent_as_the_socket_takes_them(make: Make) -> None:
    def long_echo(sock: socket.socket, members: list[socket.socket]) -> None:
        while data := sock.recv(1 << 20):
            sock.sendall(data)

    long = bytes(range(256)) * 20_000
    with serving(long_echo) as port:
        engine = make(port, ring=(long,), answer=long, in_flight=1)
        engine.open()
        assert min(finish(engine)) > 0


def test_an_answer_that_differs_is_an_error(make: Make) -> None:
    def flawed(sock: socket.socket, members: list[socket.socket]) -> None:
        count = 0
        while data := sock.recv(len(FRAME)):
            count += 1
            sock.sendall(data if count < 20 else data[:-1] + b"!")

    with serving(flawed) as port:
        engine = make(port)
        engine.open()
        engine.start()
        with pytest.raises(BenchmarkError, match="did not answer what was expected"):
            engine.drive(TIMEOUT / 2)


def test_bits_that_are_masked_out_may_differ(make: Make) -> None:
    def dated(sock: socket.socket, members: list[socket.socket]) -> None:
        count = 0
        while sock.recv(len(FRAME)):
            count += 1
            sock.sendall(b"\x82\x05he%dlo" % (count % 10))

    with serving(dated) as port:
        answer, mask = b"\x82\x05he0lo", b"\xff\xff\xff\xff\x00\xff\xff"
        engine = make(port, answer=answer, mask=mask, in_flight=1)
        engine.open()
        assert min(finish(engine)) > 0
        engine = make(port, answer=answer, mask=b"\xff" * 7, in_flight=1)
        engine.open()
        engine.start()
        with pytest.raises(BenchmarkError, match="did not answer what was expected"):
            engine.drive(TIMEOUT / 2)


def test_a_connection_that_ends_is_an_error(make: Make) -> None:
    def short(sock: socket.socket, members: list[socket.socket]) -> None:
        sock.sendall(sock.recv(len(FRAME)))

    with serving(short) as port:
        engine = make(port)
        engine.open()
        engine.start()
        with pytest.raises((BenchmarkError, OSError), match=r"closed a connection|reset|pipe"):
            engine.drive(TIMEOUT / 2)


def test_unknown_answers_are_counted_by_their_headers(make: Make) -> None:
    def wordy(sock: socket.socket, members: list[socket.socket]) -> None:
        ping, begin, end = b"\x89\x01!", b"\x02\x7e\x01\x00" + bytes(256), b"\x80\x00"
        long = b"\x82\x7f" + (70_000).to_bytes(8, "big") + bytes(70_000)
        while sock.recv(len(FRAME)):
            for piece in (ping, begin[:3], begin[3:], ping, end):
                sock.sendall(piece)
            if sock.recv(len(FRAME)):
                sock.sendall(long)

    with serving(wordy) as port:
        # One in flight: were a ping counted, a third message would come for two answers.
        engine = make(port, framed=True, in_flight=1)
        engine.open()
        assert min(finish(engine)) > 0


def test_a_close_frame_among_unknown_answers_is_an_error(make: Make) -> None:
    def leaving(sock: socket.socket, members: list[socket.socket]) -> None:
        sock.recv(len(FRAME))
        sock.sendall(b"\x88\x02\x03\xe8")
        sock.recv(1000)

    with serving(leaving) as port:
        engine = make(port, framed=True)
        engine.open()
        engine.start()
        with pytest.raises(BenchmarkError, match="closed a websocket in the middle"):
            engine.drive(TIMEOUT / 2)


def test_a_message_to_all_is_sent_when_all_have_the_last_one(make: Make) -> None:
    def room(sock: socket.socket, members: list[socket.socket]) -> None:
        # Whoever is greeted is a member: before, the first message could miss it.
        head_of(sock)
        sock.sendall(b"101\r\n\r\n")
        while data := sock.recv(len(FRAME)):
            for member in members:
                member.sendall(data)

    with serving(room) as port:
        engine = make(port, fan_out=True, opening=b"\r\n\r\n", opened=b"101")
        engine.open()
        counts = finish(engine)
    assert min(counts) > 0
    # Nobody is further ahead than what may be in flight, before and after the count began.
    assert max(counts) - min(counts) <= 4


def test_a_connection_is_open_when_the_greeting_has_come(make: Make) -> None:
    def polite(sock: socket.socket, members: list[socket.socket]) -> None:
        assert head_of(sock) == b"GET / HTTP/1.1\r\n\r\n"
        sock.sendall(b"HTTP/1.1 101 Yes\r\nA: b\r\n\r")
        sock.sendall(b"\nwelco")
        sock.sendall(b"me")
        echo(sock, members)

    opening = {"opening": b"GET / HTTP/1.1\r\n\r\n", "opened": b"HTTP/1.1 101 "}
    with serving(polite) as port:
        engine = make(port, **opening, greeting=b"welcome")
        engine.open()
        assert engine.latencies().p99 > 0
        assert min(finish(engine)) > 0
        with pytest.raises(BenchmarkError, match="something unexpected followed"):
            make(port, **opening, greeting=b"e").open()


def test_a_refused_handshake_is_told(make: Make) -> None:
    def refusing(sock: socket.socket, members: list[socket.socket]) -> None:
        head_of(sock)
        sock.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        sock.recv(1)

    with serving(refusing) as port:
        engine = make(port, opening=b"GET / HTTP/1.1\r\n\r\n", opened=b"HTTP/1.1 101 ")
        with pytest.raises(BenchmarkError, match=r"not accepted: .*403 Forbidden"):
            engine.open()


def test_the_last_words_are_said_between_messages(make: Make) -> None:
    ends: list[bytes] = []

    def listening(sock: socket.socket, members: list[socket.socket]) -> None:
        heard = b""
        while data := sock.recv(1000):
            heard += data
            sock.sendall(data[: len(data) if heard[-4:] != b"bye!" else -4])
            if heard.endswith(b"bye!"):
                break
        ends.append(heard)

    with serving(listening) as port:
        engine = make(port, goodbye=b"bye!")
        engine.open()
        finish(engine)
    assert len(ends) == 3
    for heard in ends:
        assert heard.endswith(b"bye!")
        assert len(heard[:-4]) % len(FRAME) == 0


@needs("cc")
def test_the_engine_is_compiled_once_into_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    library = native.build()
    assert library is not None
    assert library.parent == tmp_path / "dualws"
    made = library.stat().st_mtime_ns
    monkeypatch.setenv("CC", "no-such-compiler")
    assert native.build() == library
    assert library.stat().st_mtime_ns == made
    assert os.listdir(library.parent) == [library.name]


@pytest.mark.parametrize("compiler", ["no-such-compiler", "false"])
def test_without_a_compiler_that_works_there_is_no_engine_in_c(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, compiler: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CC", compiler)
    assert native.build() is None
