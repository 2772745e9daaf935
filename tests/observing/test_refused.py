"""Requests that end before the application sees them, in the access log and the figures.

They are told alike on both backends.
What is known of the request line is told, as by other servers; ``-`` where nothing is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.crowd import open_socket
from support.frames import handshake
from support.raw import RawClient
from support.timing import SCALE, eventually

from .conftest import Observed

Observe = Callable[..., Observed]
QUIET = {"DUALWS_TEST_SETTINGS": json.dumps({"LOGGING": {"version": 1}})}
LIMITS = (
    *("--max-header-size", "2048", "--max-headers", "20", "--max-body-size", "100"),
    *("--header-timeout", str(0.5 * SCALE), "--body-timeout", str(0.5 * SCALE)),
)
HEAD = b"POST /a?b=1 HTTP/1.1\r\nHost: x\r\n"

#: What is sent, and the status, method, target and protocol that are told of it.
REFUSED: dict[str, tuple[bytes, int, str | None, str | None, str | None]] = {
    "a bad header": (b"GET /a HTTP/1.1\r\nHost : x\r\n\r\n", 400, "GET", "/a", "HTTP/1.1"),
    "no host": (b"GET /h HTTP/1.1\r\n\r\n", 400, "GET", "/h", "HTTP/1.1"),
    "no request line": (b'\x01\x02 "x\r\n\r\n', 400, None, '\x01\x02 "x', None),
    "two lengths": (
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        *(400, "POST", "/a?b=1", "HTTP/1.1"),
    ),
    "a bad chunk": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nx\r\n",
        *(400, "POST", "/a?b=1", "HTTP/1.1"),
    ),
    "a long line": (b"GET /" + b"x" * 9000, 414, None, "GET /" + "x" * 1019, None),
    "a long head": (
        b"GET /l HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 9000,
        *(431, "GET", "/l", "HTTP/1.1"),
    ),
    "many headers": (
        b"GET /m HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 30 + b"\r\n",
        *(431, "GET", "/m", "HTTP/1.1"),
    ),
    "a body that is announced": (
        HEAD + b"Content-Length: 101\r\n\r\n",
        *(413, "POST", "/a?b=1", "HTTP/1.1"),
    ),
    "a body that comes": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\n" + b"x" * 255 + b"\r\n",
        *(413, "POST", "/a?b=1", "HTTP/1.1"),
    ),
    "a slow head": (b"GET /slow HTTP/1.1\r\n", 408, "GET", "/slow", "HTTP/1.1"),
    "a slow line": (b"GET /sl", 408, None, "GET /sl", None),
    "a slow body": (
        HEAD + b"Content-Length: 10\r\n\r\nx",
        *(408, "POST", "/a?b=1", "HTTP/1.1"),
    ),
}


def lines(observed: Observed) -> list[dict[str, Any]]:
    text = observed.server.stdout.text()
    return [json.loads(found) for found in re.findall(r"(?m)^\{.*\}$", text)]


def wait_for_lines(observed: Observed, count: int) -> None:
    """A line may be written after the answer: of a later request before of an earlier one."""
    eventually(lambda: len(lines(observed)) >= count, what="not every line is there")


@pytest.fixture(scope="module")
def server_options() -> tuple[str, ...]:
    return ("--access-log", "--access-log-format", "json", *LIMITS)


def test_all_of_them(observe: Observe, server_options: tuple[str, ...]) -> None:
    observed = observe(*server_options, env=QUIET)
    counted: dict[str, float] = {}
    clients = []
    for sent, *_ in REFUSED.values():
        client = RawClient(observed.server.address)
        client.send(sent)
        clients.append(client)
    sizes = []
    for client, (_, status, method, _, _) in zip(clients, REFUSED.values(), strict=True):
        response = client.read_response()
        assert response.status == status
        sizes.append(len(response.body))
        label = f'dualws_http_requests_total{{method="{method or "other"}",status="{status}"}}'
        counted[label] = counted.get(label, 0) + 1
        client.close()
    eventually(lambda: len(lines(observed)) == len(REFUSED), what="not every line is there")
    told = lines(observed)
    for size, (name, (_, status, method, target, protocol)) in zip(
        sizes, REFUSED.items(), strict=True
    ):
        found = [
            line
            for line in told
            if [line[key] for key in ("status", "method", "target", "protocol")]
            == [status, method, target, protocol]
        ]
        assert found, (name, told)
        assert found[0]["event"] == "request"
        assert found[0]["address"] == "127.0.0.1"
        assert found[0]["bytes_out"] == size
    figures = observed.figures()
    shown = {k: v for k, v in figures.items() if k.startswith("dualws_http_requests_total")}
    assert shown == counted
    assert figures["dualws_http_sent_bytes_total"] == sum(sizes)
    assert figures["dualws_http_request_seconds_count"] == 0


def test_a_line_of_text(observe: Observe) -> None:
    observed = observe("--access-log", *LIMITS, env=QUIET)
    for sent, shown in (
        (b"\x01\r\n\r\n", r'"\\\\x01" 400 12 "-" "-"'),
        (b"GET /a HTTP/1.1\r\n\r\n", r'"GET /a HTTP/1\.1" 400 12 "-" "-"'),
    ):
        with RawClient(observed.server.address) as client:
            client.send(sent)
            assert client.read_response().status == 400
        pattern = rf"(?m)^127\.0\.0\.1 - - \[[^]]+\] {shown}$".replace(r"\\\\", r"\\")
        assert observed.server.stdout.wait_for(pattern), observed.server.output()


def test_a_later_request_of_a_connection(observe: Observe, server_options: tuple[str, ...]) -> None:
    """It is not told by the line of the one before."""
    observed = observe(*server_options, env=QUIET)
    with observed.server.connect() as client:
        client.send_request("GET", "/status/200/", ("Host", "x"))
        assert client.read_response().status == 200
        wait_for_lines(observed, 1)
        client.send(b"nonsense\r\n\r\n")
        assert client.read_response().status == 400
    wait_for_lines(observed, 2)
    assert [(line["status"], line["target"]) for line in lines(observed)] == [
        (200, "/status/200/"),
        (400, "nonsense"),
    ]


def test_headers_of_a_refused_request_are_not_believed(
    observe: Observe, server_options: tuple[str, ...]
) -> None:
    observed = observe(*server_options, "--trusted-proxies", "127.0.0.1", env=QUIET)
    client_said = b"X-Forwarded-For: 203.0.113.7\r\n"
    answers = (
        (b"GET /status/200/ HTTP/1.1\r\nHost: x\r\n" + client_said + b"\r\n", 200),
        (HEAD + client_said + b"Content-Length: 101\r\n\r\n", 413),
    )
    for count, (sent, status) in enumerate(answers, 1):
        with RawClient(observed.server.address) as client:
            client.send(sent)
            assert client.read_response().status == status
        wait_for_lines(observed, count)
    told = [(line["status"], line["address"]) for line in lines(observed)]
    assert told == [(200, "203.0.113.7"), (413, "127.0.0.1")]


def test_a_body_that_cannot_be_kept(
    observe: Observe, server_options: tuple[str, ...], tmp_path: Path
) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    # One thread: what is given to the application by mistake is told before the last request.
    spooling = "--spool-size", "10", "--threads", "1"
    observed = observe(*server_options, *spooling, env={**QUIET, "TMPDIR": str(folder)})
    for count, status in enumerate((404, 507), 1):
        with RawClient(observed.server.address) as client:
            client.send(HEAD + b"Content-Length: 90\r\n\r\n" + bytes(90))
            assert client.read_response().status == status
        wait_for_lines(observed, count)
        if status == 404:
            folder.rmdir()
    assert observed.server.get("/status/200/").status == 200
    wait_for_lines(observed, 3)
    told = [(line["status"], line["method"], line["target"]) for line in lines(observed)]
    posted = [(404, "POST", "/a?b=1"), (507, "POST", "/a?b=1")]
    assert told == [*posted, (200, "GET", "/status/200/")]
    assert observed.figures()['dualws_http_requests_total{method="POST",status="404"}'] == 1
    assert observed.figures()['dualws_http_requests_total{method="POST",status="507"}'] == 1


def test_one_connection_too_many(observe: Observe) -> None:
    observed = observe(
        *("--access-log", "--access-log-format", "json", "--max-connections", "1"), env=QUIET
    )
    with open_socket(observed.server, "/ws/echo/"), observed.server.connect() as client:
        assert client.read_response().status == 503
    eventually(lambda: len(lines(observed)) == 3, what="not every line is there")
    (refused,) = [line for line in lines(observed) if line["event"] == "request"]
    assert [refused[key] for key in ("status", "method", "target", "protocol", "bytes_out")] == [
        *(503, None, None, None, 21)
    ]
    figures = observed.figures()
    assert figures['dualws_http_requests_total{method="other",status="503"}'] == 1


def test_handshakes_that_a_limit_refuses(observe: Observe) -> None:
    observed = observe(
        *("--access-log", "--access-log-format", "json", "--max-connections-per-address", "1"),
        env=QUIET,
    )
    server = observed.server
    with open_socket(server, "/ws/echo/"), server.connect() as second, server.connect() as third:
        wait_for_lines(observed, 1)
        assert handshake(second, "/ws/echo/", server.netloc).status == 429
        third.send_request("GET", "/status/200/", ("Host", server.netloc))
        assert third.read_response().status == 429
        wait_for_lines(observed, 3)
        told = lines(observed)  # before the first one's end is
        figures = observed.figures()
    assert [line["status"] for line in told[1:]] == [429, 429]
    assert figures['dualws_handshakes_total{outcome="limited"}'] == 1
    assert figures['dualws_http_requests_total{method="GET",status="429"}'] == 2
