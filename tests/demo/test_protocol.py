"""The chat's websocket on both backends: what several clients see of each other.

What one client may say, and what it gets for that, is in ``talk.py``.
"""

from __future__ import annotations

import socket
import threading
import uuid

import pytest

from demo.demoserver import Client, DemoServer, Visit, ids_on
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


def test_every_page_says_what_carries_it(demo: DemoServer, ada: Client) -> None:
    assert demo.carrier.lower().startswith(demo.backend)
    assert f"<strong>{demo.carrier}</strong>" in ada.get("/rooms/lobby/")
