"""The lines of the access log: their forms, and what hostile bytes become in them."""

from __future__ import annotations

import json
import logging
import os
import re
from typing import Any

import pytest

from dualws.observing import entries
from dualws.observing.access import to_gunicorn, to_logger
from dualws.observing.entries import CLOSE, FORMATS, OPEN, REQUEST, Entry

TIME = r"\[\d{2}/[A-Z][a-z]{2}/\d{4}:\d{2}:\d{2}:\d{2} [+-]\d{4}\]"


def entry(event: str = REQUEST, **changes: Any) -> Entry:
    given: dict[str, Any] = {
        "event": event,
        "address": "192.0.2.7",
        "user": "",
        "method": "GET",
        "target": "/a?b=1",
        "protocol": "HTTP/1.1",
        "status": 200,
        "length": 12,
        "referer": "",
        "agent": "curl/8",
        "seconds": 0.0123456,
    }
    return Entry(**(given | changes))


def test_common() -> None:
    assert re.fullmatch(
        rf'192\.0\.2\.7 - - {TIME} "GET /a\?b=1 HTTP/1\.1" 200 12', entries.common(entry())
    )


def test_combined() -> None:
    line = entries.combined(entry(user="7", referer="https://a.example/", address=""))
    assert re.fullmatch(
        rf'- - 7 {TIME} "GET /a\?b=1 HTTP/1\.1" 200 12 "https://a\.example/" "curl/8"', line
    )


def test_json() -> None:
    line = json.loads(entries.as_json(entry(user="7")))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "event": "request",
        "pid": os.getpid(),
        "address": "192.0.2.7",
        "user": "7",
        "method": "GET",
        "target": "/a?b=1",
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes_out": 12,
        "seconds": 0.012346,
        "referer": None,
        "user_agent": "curl/8",
    }


def closed(**changes: Any) -> Entry:
    about = {"status": 101, "code": 4001, "reason": 'a "b" c', "messages_in": 3, "bytes_in": 30}
    return entry(CLOSE, **(about | {"messages_out": 2, "length": 20} | changes))


def test_the_lines_of_a_websocket() -> None:
    end = f"pid={os.getpid()}"
    for name in ("common", "combined", "django"):
        assert FORMATS[name](entry(OPEN, status=101)).endswith(f" websocket=open {end}")
        assert FORMATS[name](closed()).endswith(
            f" websocket=close {end} code=4001 seconds=0.012 messages_in=3 bytes_in=30"
            r' messages_out=2 bytes_out=20 reason="a \x22b\x22 c"'
        )
    line = json.loads(entries.as_json(closed()))
    assert line["event"] == "close"
    assert line["status"] == 101
    assert (line["code"], line["reason"]) == (4001, 'a "b" c')
    assert (line["messages_in"], line["messages_out"]) == (3, 2)
    assert (line["bytes_in"], line["bytes_out"]) == (30, 20)


HOSTILE = 'x" 200 1\r\n\x1b[31m\x9b\\\u2028é\x00\x7f'


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("field", ["target", "method", "agent", "referer", "user", "reason"])
def test_hostile_bytes_stay_in_their_field(name: str, field: str) -> None:
    given = closed(**{field: HOSTILE})
    line = FORMATS[name](given)
    assert len(line.splitlines()) == 1
    assert line.isprintable()
    if name == "json":
        assert HOSTILE in json.loads(line).values()
        assert line.isascii()
    elif name != "django":
        assert line.isascii()
        # As many quotation marks as without, and so as many fields.
        assert line.count('"') == FORMATS[name](closed(reason="")).count('"')


def test_a_space_in_the_name_of_a_user_starts_no_field() -> None:
    assert " - a\\x20b [" in entries.common(entry(user="a b"))


def test_records_have_what_djangos_formatter_needs(caplog: pytest.LogCaptureFixture) -> None:
    environ = {"REQUEST_METHOD": "GET"}
    with caplog.at_level(logging.INFO, "dualws.access"):
        to_logger("django")(entry(status=404, target="/a?\x1b[31m\x9b\r\n"), environ)
    assert caplog.messages == [r'"GET /a?\x1b[31m\x9b\x0d\x0a HTTP/1.1" 404 12']
    (record,) = caplog.records
    assert vars(record)["request"] is environ
    assert vars(record)["status_code"] == 404


class Gunicorn:
    """Notes what gunicorn's logger is given."""

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        self.given = resp, req, environ, request_time


def test_what_gunicorns_atoms_are_made_of() -> None:
    log = Gunicorn()
    environ = {
        "REQUEST_METHOD": "GET",
        "RAW_URI": "/a",
        "PATH_INFO": "/a\nb",
        "HTTP_USER_AGENT": HOSTILE,
        "wsgi.input": 5,
    }
    to_gunicorn(log)(closed(user="7"), environ)
    response, request, seen, duration = log.given
    assert (response.status, response.sent) == ("101", 20)
    assert duration.total_seconds() == pytest.approx(0.012346)
    assert seen["PATH_INFO"] == r"/a\x0ab"
    assert seen["wsgi.input"] == 5
    assert seen["REMOTE_USER"] == "7"
    assert seen["dualws.event"] == "close"
    assert (seen["dualws.close_code"], seen["dualws.messages_in"]) == (4001, 3)
    ((name, value),) = request.headers
    assert name == "USER-AGENT"
    assert "\n" not in value
    assert "dualws.event" not in environ
