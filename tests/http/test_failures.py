"""Applications that raise: a 500, or a cut where it is too late for one; never a hang."""

from __future__ import annotations

import pytest

from support.raw import ConnectionEnded
from support.server import LiveServer


def test_a_view_that_raises(live: LiveServer) -> None:
    assert live.get("/crash/").status == 500
    live.expect_traceback("crash in the view")
    assert live.get("/echo/").status == 200


@pytest.mark.parametrize("path", ["/raises", "/raises_first"])
def test_an_exception_before_the_first_byte(plain: LiveServer, path: str) -> None:
    for method in ("GET", "HEAD"):
        with plain.connect() as client:
            client.send_request(method, path, ("Host", "a"))
            answer = client.read_response(method)
            assert answer.status == 500
            assert b"raised" not in answer.body
            assert b"Traceback" not in answer.body
    plain.expect_traceback("raised (when|before)")
    assert plain.get("/echo").status == 200


@pytest.mark.parametrize("length", ["", "?length"], ids=["chunked", "length"])
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_an_exception_after_the_first_byte_cuts(
    plain: LiveServer, length: str, version: str
) -> None:
    """The client must be able to tell: no last chunk, fewer bytes than announced."""
    with plain.connect() as client:
        client.send_request("GET", f"/raises_later{length}", ("Host", "a"), version=version)
        head = client.read_head()
        assert head.status == 200
        if version == "HTTP/1.1" or length:
            with pytest.raises((ConnectionEnded, ConnectionResetError)):
                client.read_body(head)
        else:
            client.read_to_end()
    plain.expect_traceback("raised after the first chunk")
    assert plain.get("/echo").status == 200


def test_an_exception_in_a_streaming_view_cuts(live: LiveServer) -> None:
    with live.connect() as client:
        client.send_request("GET", "/crash-in-stream/?key=cut", ("Host", "a"))
        assert client.read_head().status == 200
        assert client.read_chunk() == b"first"
        client.assert_closed()
    live.expect_traceback("crash in the stream cut")
    assert live.get("/echo/").status == 200


def test_an_exception_in_close_comes_too_late_to_matter(plain: LiveServer) -> None:
    with plain.connect() as client:
        client.send_request("GET", "/raises_in_close", ("Host", "a"))
        assert client.read_response().body == b"whole"
    plain.expect_traceback("raised in close")
    assert plain.get("/echo").status == 200


def test_the_failed_request_is_named_in_the_log(plain: LiveServer) -> None:
    assert plain.get("/raises?named-in-the-log").status == 500
    plain.expect_traceback("raised when called")
    assert plain.stderr.wait_for("/raises"), "the log does not say which request failed"
