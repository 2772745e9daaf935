"""How connections live: keep-alive, pipelining, close, HTTP/1.0."""

from __future__ import annotations

import json

import pytest

from support.raw import ConnectionEnded, RawClient
from support.server import LiveServer


def ask(client: RawClient, live: LiveServer, target: str, *headers: tuple[str, str]) -> None:
    client.send_request("GET", target, ("Host", live.netloc), *headers)


def test_keep_alive_serves_many_requests(live: LiveServer) -> None:
    ports = set()
    with live.connect() as client:
        for number in range(20):
            ask(client, live, f"/echo/?n={number}")
            answer = client.read_response()
            seen = json.loads(answer.body)
            assert seen["query"] == f"n={number}"
            ports.add(seen["meta"]["REMOTE_PORT"])
        client.assert_open()
    assert len(ports) == 1


def test_keep_alive_after_every_kind_of_response(live: LiveServer) -> None:
    targets = {
        "/status/204/": 204,
        "/status/304/": 304,
        "/status/404/": 404,
        "/large/?size=100000": 200,
        "/large/?size=100000&whole=1": 200,
        "/large/?size=0": 200,
        "/file/?size=70000": 200,
        "/no-such-page/": 404,
    }
    with live.connect() as client:
        for target, status in targets.items():
            ask(client, live, target)
            assert client.read_response().status == status, target
        client.assert_open()


def test_pipelined_requests_are_answered_in_order(live: LiveServer) -> None:
    count = 30
    request = "GET /echo/?n={} HTTP/1.1\r\nHost: a\r\n\r\n"
    with live.connect() as client:
        client.send("".join(request.format(number) for number in range(count)).encode())
        for number in range(count):
            assert json.loads(client.read_response().body)["query"] == f"n={number}"
        client.assert_open()


def test_pipelined_requests_with_bodies(live: LiveServer) -> None:
    head = "POST /echo/?n={} HTTP/1.1\r\nHost: a\r\n"
    plain = head + "Content-Length: 3\r\n\r\nabc"
    chunked = head + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    with live.connect() as client:
        client.send("".join((plain, chunked)[n % 2].format(n) for n in range(10)).encode())
        for number in range(10):
            seen = json.loads(client.read_response().body)
            assert seen["query"] == f"n={number}"
            assert seen["body"] == ("abc", "abcde")[number % 2]


def test_a_slow_response_holds_back_the_pipelined_ones(live: LiveServer) -> None:
    with live.connect() as client:
        ask(client, live, "/stream/?key=slow-pipeline&count=2")
        ask(client, live, "/echo/?n=after")
        head = client.read_head()
        assert client.read_chunk() == b"chunk 1\n"
        client.assert_open()
        live.get_json("/release/", key="slow-pipeline")
        assert client.read_body(head)[0] == b"chunk 2\n"
        assert json.loads(client.read_response().body)["query"] == "n=after"


@pytest.mark.parametrize("value", ["close", "Close", "keep-alive, close"])
def test_close_is_said_and_done(live: LiveServer, value: str) -> None:
    with live.connect() as client:
        ask(client, live, "/echo/", ("Connection", value))
        answer = client.read_response()
        assert answer.status == 200
        assert (answer.get("Connection") or "").lower() == "close"
        client.assert_closed()


def test_nothing_is_answered_after_close(live: LiveServer) -> None:
    with live.connect() as client:
        ask(client, live, "/echo/", ("Connection", "close"))
        ask(client, live, "/echo/")
        assert client.read_response().status == 200
        client.assert_closed()


def test_close_after_a_streamed_response(live: LiveServer) -> None:
    with live.connect() as client:
        ask(client, live, "/large/?size=200000", ("Connection", "close"))
        answer = client.read_response()
        assert len(answer.body) == 200_000
        client.assert_closed()


def test_http_1_0_closes(live: LiveServer) -> None:
    with live.connect() as client:
        client.send_request("GET", "/echo/", version="HTTP/1.0")
        answer = client.read_response()
        assert answer.status == 200
        assert json.loads(answer.body)["meta"]["SERVER_PROTOCOL"] == "HTTP/1.0"
        client.assert_closed()


def test_http_1_0_keep_alive_with_a_known_length(live: LiveServer) -> None:
    with live.connect() as client:
        for _ in range(3):
            client.send_request("GET", "/echo/", ("Connection", "keep-alive"), version="HTTP/1.0")
            answer = client.read_response()
            assert answer.get("Content-Length") is not None
            assert (answer.get("Connection") or "").lower() == "keep-alive"


def test_http_1_0_keep_alive_without_a_length_closes(live: LiveServer) -> None:
    with live.connect() as client:
        fields = (("Host", "a"), ("Connection", "keep-alive"))
        client.send_request("GET", "/large/?size=200000", *fields, version="HTTP/1.0")
        answer = client.read_response()
        assert answer.get("Transfer-Encoding") is None
        assert (answer.get("Connection") or "").lower() != "keep-alive"
        assert len(answer.body) == 200_000


def test_a_half_closed_client_is_answered_or_cut(live: LiveServer) -> None:
    """A FIN may mean that the client has gone; what it gets must not look whole and be half."""
    for size in (0, 300_000):
        with live.connect() as client:
            ask(client, live, f"/large/?size={size}")
            client.finish_sending()
            try:
                assert len(client.read_response().body) == size
                client.assert_closed()
            except (ConnectionEnded, ConnectionResetError):
                pass  # cut, and the client can tell
    assert live.get("/echo/").status == 200


def test_a_client_that_says_nothing_is_left_alone(live: LiveServer) -> None:
    with live.connect() as silent:
        assert live.get("/echo/").status == 200
        silent.assert_open()
        ask(silent, live, "/echo/")
        assert silent.read_response().status == 200


def test_a_small_answer_comes_in_one_piece(live: LiveServer) -> None:
    """Head and body in one segment: apart they cost a delayed ACK under keep-alive."""
    with live.connect() as client:
        for _ in range(5):
            ask(client, live, "/echo/")
            assert client.fill()
            answer = client.read_response()
            assert answer.body
        assert client.pending == b""


def test_a_client_that_closed_its_side_is_answered(live: LiveServer) -> None:
    with live.connect() as client:
        ask(client, live, "/echo/?n=1")
        client.finish_sending()
        assert json.loads(client.read_response().body)["query"] == "n=1"
        client.assert_closed()


def test_a_client_that_closed_its_side_gets_all_its_answers(live: LiveServer) -> None:
    targets = ["/echo/?n=1", "/large/?size=3000000", "/echo/?n=2"]
    with live.connect() as client:
        for target in targets:
            ask(client, live, target)
        client.finish_sending()
        answers = [client.read_response() for _ in targets]
        assert [answer.status for answer in answers] == [200] * 3
        assert json.loads(answers[0].body)["query"] == "n=1"
        assert len(answers[1].body) == 3000000
        assert json.loads(answers[2].body)["query"] == "n=2"
        client.assert_closed()


def test_a_client_that_closed_its_side_behind_a_body_is_answered(live: LiveServer) -> None:
    with live.connect() as client:
        head = ("POST", "/echo/", ("Host", live.netloc), ("Content-Length", "5"))
        client.send_request(*head, body=b"hello")
        client.finish_sending()
        assert client.read_response().status == 200
        client.assert_closed()


def test_half_a_request_is_not_answered(live: LiveServer) -> None:
    with live.connect() as client:
        head = ("POST", "/echo/", ("Host", live.netloc), ("Content-Length", "5"))
        client.send_request(*head, body=b"hel")
        client.finish_sending()
        client.assert_closed()
