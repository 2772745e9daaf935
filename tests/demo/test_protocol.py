"""The chat's websocket on both backends: what a client may say and what it gets."""

from __future__ import annotations

import json
import socket
import threading
import uuid

import pytest

from demo.demoserver import Client, DemoServer, Visit, ids_on
from support.raw import Response
from support.timing import TIMEOUT


@pytest.fixture(autouse=True)
def _checked(demo: DemoServer) -> None:
    """Every test here fails when the demo prints a traceback."""


def test_both_see_a_message_with_its_author_and_key(ada: Client, grace: Client) -> None:
    with ada.enter() as hers, grace.enter() as theirs:
        hers.missed(), theirs.missed()
        assert hers.ws.subprotocol == "chat.v1"
        key = hers.say("  <b>bold</b> & 😀\r\nsecond line ")
        for visit in (hers, theirs):
            message = visit.message()
            assert message["text"] == "<b>bold</b> & 😀\nsecond line"
            assert message["author"] == {"name": "Ada Lovelace", "username": "ada", "tint": 1}
            assert message["key"] == key
            assert message["room"] == "lobby"
            assert message["sent_at"].endswith("+00:00")


def test_the_page_shows_the_message_escaped(ada: Client, grace: Client) -> None:
    with ada.enter() as visit:
        visit.missed()
        visit.say("<script>alert(1)</script>")
        number = visit.message()["id"]
    page = grace.get("/rooms/lobby/")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert ids_on(page)[-1] == number


def test_rooms_are_apart(ada: Client, grace: Client) -> None:
    with ada.enter("lobby") as here, grace.enter("tea-break") as there:
        here.missed(), there.missed()
        here.say("in the lobby")
        assert here.message()["text"] == "in the lobby"
        there.say("at tea")
        assert there.message()["text"] == "at tea"


def test_a_form_without_a_websocket_reaches_those_with_one(ada: Client, grace: Client) -> None:
    with grace.enter("engine-room") as visit:
        visit.missed()
        page = ada.post("/rooms/engine-room/", text="by post", key=str(uuid.uuid4()))
        assert visit.message()["text"] == "by post"
    assert "by post" in page


REFUSED = {
    "empty": ({"text": "", "key": "KEY"}, "nothing in this message"),
    "blank": ({"text": " \n\t ", "key": "KEY"}, "nothing in this message"),
    "over-long": ({"text": "x" * 1001, "key": "KEY"}, "1000 characters, this one has 1001"),
    "NUL": ({"text": "a\0b", "key": "KEY"}, "Null characters"),
    "half a character": ({"text": "a\ud800b", "key": "KEY"}, "lone surrogate"),
    "key is no UUID": ({"text": "a", "key": "KEY" * 3}, "not a UUID"),
    "no text": ({"key": "KEY"}, 'a string "text"'),
    "text is a list": ({"text": ["a"], "key": "KEY"}, 'a string "text"'),
    "no key": ({"text": "a"}, 'a string "key"'),
    "not an object": ([1, 2], "a JSON object"),
    "null": (None, "a JSON object"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_goes_to_its_author_alone(ada: Client, grace: Client, case: str) -> None:
    key = str(uuid.uuid4())
    sent, expected = REFUSED[case]
    frame = json.dumps(sent).replace("KEY", key)
    with ada.enter() as hers, grace.enter() as theirs:
        hers.missed(), theirs.missed()
        hers.ws.send(frame)
        error = hers.event("error")
        assert expected in error["detail"]
        assert error["key"] in (key, key * 3, None)
        assert (error["key"] is None) == ("a string" in expected or "object" in expected)
        # and neither lost anything
        hers.say("after it")
        assert hers.message()["text"] == "after it"
        assert theirs.message()["text"] == "after it"
        assert not [event for event in theirs._waiting if event["type"] == "error"]


@pytest.mark.parametrize(
    "frame", ["{", "", "NaN", "[" * 100_000, "9" * 10_000, b"\xff\xfe\x00", b"{}"]
)
def test_no_json_is_refused_and_the_websocket_goes_on(ada: Client, frame: str | bytes) -> None:
    with ada.enter() as visit:
        visit.missed()
        visit.ws.send(frame)
        assert "JSON" in visit.event("error")["detail"]
        visit.say("still here")
        assert visit.message()["text"] == "still here"


def test_the_longest_message_is_counted_in_characters(ada: Client) -> None:
    with ada.enter() as visit:
        visit.missed()
        visit.say("😀" * 1000)
        assert len(visit.message()["text"]) == 1000


def test_what_was_missed_comes_first_and_only_that(ada: Client, grace: Client) -> None:
    with ada.enter() as visit:
        visit.missed()
        visit.say("seen")
        seen = visit.message()["id"]
    with grace.enter() as visit:
        visit.missed()
        visit.say("missed, one"), visit.say("missed, two")
        visit.message(), visit.message()
    with ada.enter(since=seen) as visit:
        assert [message["text"] for message in visit.missed()] == ["missed, one", "missed, two"]
    with ada.enter(since=2**63 - 1) as visit:
        assert visit.missed() == []


def test_a_message_sent_again_is_stored_once(ada: Client) -> None:
    key = str(uuid.uuid4())
    with ada.enter() as visit:
        visit.missed()
        visit.say("once", key)
        first = visit.message()
    with ada.enter(since=first["id"]) as visit:
        assert visit.missed() == []
        visit.say("once", key)
        assert visit.message() == first
    with ada.enter(since=first["id"] - 1) as visit:
        assert [message["id"] for message in visit.missed()] == [first["id"]]


def test_two_tabs_of_one_person(ada: Client, grace: Client) -> None:
    with grace.enter("tea-break") as watching:
        watching.until_present("tea-break", "grace")
        first = ada.enter("tea-break")
        watching.until_present("tea-break", "ada", "grace")
        with ada.enter("tea-break") as second:
            second.until_present("tea-break", "ada", "grace")
            watching.event("presence")
            first.leave()
            present = watching.event("presence")["rooms"]["tea-break"]
            assert [person["username"] for person in present] == ["ada", "grace"]
        watching.until_present("tea-break", "grace")


def test_presence_tells_of_other_rooms_and_of_a_broken_connection(
    ada: Client, grace: Client
) -> None:
    with grace.enter("lobby") as watching, ada.enter("engine-room") as gone:
        watching.until_present("engine-room", "ada")
        gone.ws.socket.shutdown(socket.SHUT_RDWR)
        watching.until_present("engine-room")


def test_many_at_once_in_order_and_nothing_lost(ada: Client, grace: Client) -> None:
    writers, each = 8, 10
    visits = [(ada if number % 2 else grace).enter("engine-room") for number in range(writers)]
    missed = {visit: visit.missed() for visit in visits}
    newest = max((message["id"] for message in missed[visits[-1]]), default=0)

    def write(visit: Visit) -> None:
        for number in range(each):
            visit.say(f"message {number}")

    threads = [threading.Thread(target=write, args=(visit,)) for visit in visits]
    for thread in threads:
        thread.start()
    for visit in visits:
        ids = [visit.message()["id"] for _ in range(writers * each)]
        assert ids == list(range(ids[0], ids[0] + writers * each))
        assert ids[0] > newest
    for thread in threads:
        thread.join(TIMEOUT)
    for visit in visits:
        visit.leave()


def refusal(demo: DemoServer, path: str, cookie: str = "", origin: str | None = None) -> Response:
    """The answer to a handshake, as it comes, redirects not followed."""
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
        "Origin": origin or demo.url(""),
        "Cookie": f"dualws_demo_session={cookie}",
    }
    with demo.connect() as client:
        client.send_request("GET", path, ("Host", demo.netloc), *headers.items())
        return client.read_response()


def test_handshakes_are_refused_by_ordinary_answers(demo: DemoServer, ada: Client) -> None:
    session = ada.cookie("dualws_demo_session")
    stranger = refusal(demo, "/rooms/lobby/live/0/")
    assert stranger.status == 302
    assert (stranger.get("Location") or "").startswith("/sign-in/")
    assert refusal(demo, "/rooms/cellar/live/0/", session).status == 404
    assert refusal(demo, "/rooms/lobby/live/0/", session, "http://elsewhere.example").status == 403


def test_every_page_says_what_carries_it(demo: DemoServer, ada: Client) -> None:
    assert demo.carrier.lower().startswith(demo.backend)
    assert f"<strong>{demo.carrier}</strong>" in ada.get("/rooms/lobby/")
