"""Django on the server: sessions, signals, contexts, async views, queries."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from support.raw import Response
from support.server import LiveServer


def session_cookie(answer: Response) -> str:
    """The session's cookie as a client sends it back."""
    (cookie,) = [value for value in answer.all("Set-Cookie") if value.startswith("sessionid=")]
    return cookie.split(";")[0]


def test_a_session_lives_over_connections(live: LiveServer) -> None:
    first = live.get("/session/")
    (cookie,) = first.all("Set-Cookie")
    for visits in (2, 3):
        with live.connect() as client:
            client.send_request("GET", "/session/", ("Host", "a"), ("Cookie", cookie.split(";")[0]))
            assert json.loads(client.read_response().body)["visits"] == visits


def test_a_signed_in_user(live: LiveServer) -> None:
    cookie = session_cookie(live.get("/sign-in/", name="ada"))
    with live.connect() as client:
        client.send_request("GET", "/session/", ("Host", "a"), ("Cookie", cookie))
        assert json.loads(client.read_response().body)["user"] == "ada"


def test_every_request_has_a_context_of_its_own(live: LiveServer) -> None:
    """Also on one connection, which one greenlet may serve from its beginning to its end."""
    with live.connect() as client:
        for number in range(10):
            client.send_request("GET", f"/context/?set=value-{number}", ("Host", "a"))
            seen = json.loads(client.read_response().body)
            assert seen == {"before": "nothing", "now": f"value-{number}"}


def test_request_finished_is_sent_in_the_thread_of_the_view(live: LiveServer) -> None:
    for query in ("", "&anywhere=1"):
        key = f"finished{query[1:]}"
        assert live.get(f"/finished/?key={key}{query}").status == 200
        (view, finished) = live.get_json("/notes/", key=key, count=2)
        assert view[0] == "view"
        assert finished == ["finished", view[1]]


def test_request_finished_is_sent_when_the_client_has_left(live: LiveServer) -> None:
    key = "finished-alone"
    client = live.connect()
    client.send_request("GET", f"/finished/?key={key}", ("Host", "a"))
    client.reset()
    notes = live.get_json("/notes/", key=key, count=2)
    assert [name for name, _ in notes] in (["view", "finished"], [])


def _at_once(live: LiveServer, *paths: str) -> list[Any]:
    start = threading.Barrier(len(paths))

    def get(path: str) -> Any:
        start.wait()
        return live.get_json(path)

    with ThreadPoolExecutor(len(paths)) as pool:
        return list(pool.map(get, paths))


def test_async_views_run_at_the_same_time(live: LiveServer) -> None:
    path = "/async/meet/?key=meeting&count=3"
    assert _at_once(live, path, path, path) == [{"met": 3}] * 3


def test_queries_beside_async_views(live: LiveServer) -> None:
    """None fails because another request's event loop runs in the same thread."""
    paths = ["/async/users/", "/users/"] * 5
    for _ in range(3):
        answers = _at_once(live, *paths)
        counts = {answer.get("count", answer.get("after")) for answer in answers}
        assert len(counts) == 1


def test_queries_while_an_async_view_waits(live: LiveServer) -> None:
    with live.connect() as waiting, live.connect() as second:
        target = "/async/meet/?key=waits-for-second&count=2"
        waiting.send_request("GET", target, ("Host", "a"))
        live.get_json("/notes/", key="waits-for-second")
        for _ in range(5):
            live.get_json("/users/")
            live.get_json("/session/")
        second.send_request("GET", target, ("Host", "a"))
        assert json.loads(waiting.read_response().body) == {"met": 2}
        assert json.loads(second.read_response().body) == {"met": 2}


def test_an_async_view_that_streams(live: LiveServer) -> None:
    assert live.get("/async/stream/").body == b"chunk 0\nchunk 1\nchunk 2\n"


def test_many_requests_at_once(live: LiveServer) -> None:
    answers = _at_once(live, *(f"/echo/?n={number}" for number in range(40)))
    assert [answer["query"] for answer in answers] == [f"n={number}" for number in range(40)]
