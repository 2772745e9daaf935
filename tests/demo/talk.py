"""The chat's websocket in process, with ``dualws.testing``: what a client may say and what it gets.

``test_pages.py`` runs this module with Django's test runner in a process of its own.
"""

from __future__ import annotations

import json
import uuid

import pytest
from django.contrib.auth.models import User

from demo import demoserver
from demo.pages import DemoCase
from dualws.demo.chat.models import Message
from dualws.testing import WebSocketClient, WebSocketRefused
from support.timing import TIMEOUT

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
NO_JSON = ["{", "", "NaN", "[" * 100_000, "9" * 10_000, b"\xff\xfe\x00", b"{}"]


class Visit(demoserver.Visit):
    """An open websocket in process."""

    def _next(self) -> str | bytes:
        message: str | bytes = self.ws.receive(TIMEOUT)
        return message


class TalkTests(DemoCase):
    client_class = WebSocketClient
    client: WebSocketClient

    def setUp(self) -> None:
        self.client.force_login(self.ada)
        self.other = WebSocketClient()
        self.other.force_login(User.objects.get(username="grace"))

    def enter(self, client: WebSocketClient | None = None, since: int = 0) -> Visit:
        path = f"/rooms/lobby/live/{since}/"
        return Visit((client or self.client).websocket(path, subprotocols=["chat.v1"]))

    def test_a_message_is_stored_before_it_is_seen(self) -> None:
        with self.enter() as visit:
            assert visit.missed() == []
            key = visit.say("hello")
            assert [m.text for m in Message.objects.all()] == ["hello"]
            assert visit.message()["key"] == key

    def test_a_refusal_goes_to_its_author_alone(self) -> None:
        for case, (sent, expected) in REFUSED.items():
            key = str(uuid.uuid4())
            frame = json.dumps(sent).replace("KEY", key)
            with self.subTest(case), self.enter() as hers, self.enter(self.other) as theirs:
                hers.missed(), theirs.missed()
                hers.ws.send(frame)
                error = hers.event("error")
                assert expected in error["detail"]
                assert error["key"] in (key, key * 3, None)
                nameless = "a string" in expected or "object" in expected
                assert (error["key"] is None) == nameless
                # and neither lost anything
                hers.say("after it")
                assert hers.message()["text"] == "after it"
                assert theirs.message()["text"] == "after it"
                assert not [event for event in theirs._waiting if event["type"] == "error"]

    def test_no_json_is_refused_and_the_websocket_goes_on(self) -> None:
        for frame in NO_JSON:
            with self.subTest(frame[:10]), self.enter() as visit:
                visit.missed()
                visit.ws.send(frame)
                assert "JSON" in visit.event("error")["detail"]
                visit.say("still here")
                assert visit.message()["text"] == "still here"

    def test_the_longest_message_is_counted_in_characters(self) -> None:
        with self.enter() as visit:
            visit.missed()
            visit.say("😀" * 1000)
            assert len(visit.message()["text"]) == 1000

    def test_what_was_missed_comes_first_and_only_that(self) -> None:
        with self.enter() as visit:
            visit.missed()
            visit.say("seen")
            seen = visit.message()["id"]
        with self.enter(self.other) as visit:
            visit.missed()
            visit.say("missed, one"), visit.say("missed, two")
            visit.message(), visit.message()
        with self.enter(since=seen) as visit:
            missed = [message["text"] for message in visit.missed()]
            assert missed == ["missed, one", "missed, two"]
        with self.enter(since=2**63 - 1) as visit:
            assert visit.missed() == []

    def test_a_message_sent_again_is_stored_once(self) -> None:
        key = str(uuid.uuid4())
        with self.enter() as visit:
            visit.missed()
            visit.say("once", key)
            first = visit.message()
        with self.enter(since=first["id"]) as visit:
            assert visit.missed() == []
            visit.say("once", key)
            assert visit.message() == first
        with self.enter(since=first["id"] - 1) as visit:
            assert [message["id"] for message in visit.missed()] == [first["id"]]

    def test_handshakes_are_refused_by_ordinary_answers(self) -> None:
        path = "/rooms/lobby/live/0/"
        with pytest.raises(WebSocketRefused) as caught:
            WebSocketClient().websocket(path)
        self.assertRedirects(caught.value.response, f"/sign-in/?next={path}")
        assert self.client.handshake("/rooms/cellar/live/0/").status_code == 404
        stranger = self.client.handshake(path, origin="http://elsewhere.example")
        assert stranger.status_code == 403
        assert self.client.handshake(path).status_code == 101
