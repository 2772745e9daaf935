"""The demo's pages, forms and models, through Django's own test client.

Django can be set up once in a process and with one project only, so ``test_pages.py`` runs this
module with Django's test runner in a process of its own.
"""

from __future__ import annotations

import json
import uuid

import pytest
from django.contrib.auth.models import User
from django.test import Client, TestCase
from django.urls import reverse

from dualws.demo.chat import events, services
from dualws.demo.chat.forms import BadFrame, MessageForm
from dualws.demo.chat.models import Message, Room
from dualws.demo.chat.people import Person
from dualws.demo.chat.presence import Presence
from dualws.demo.chat.seed import PASSWORD, seed
from dualws.demo.chat.views import HISTORY


class DemoCase(TestCase):
    """The database as a new demo has it."""

    ada: User
    lobby: Room

    @classmethod
    def setUpTestData(cls) -> None:
        seed()
        cls.ada = User.objects.get(username="ada")
        cls.lobby = Room.objects.get(slug="lobby")

    def say(self, text: str, room: Room | None = None) -> Message:
        form = MessageForm({"text": text, "key": str(uuid.uuid4())})
        assert form.problem == ""
        return services.say(room or self.lobby, self.ada, form)


class SignInTests(DemoCase):
    def test_the_page_has_a_button_for_each_and_the_password(self) -> None:
        page = self.client.get("/sign-in/?next=/rooms/tea-break/")
        self.assertContains(page, 'name="username" value="ada"', count=1)
        self.assertContains(page, 'name="username" value="grace"', count=1)
        self.assertContains(page, f"<code>{PASSWORD}</code>")
        self.assertContains(page, 'name="next" value="/rooms/tea-break/"')
        self.assertContains(page, "a server without websockets")

    def test_what_the_button_sends_signs_in_and_leads_on(self) -> None:
        fields = {"username": "grace", "password": PASSWORD, "next": "/rooms/tea-break/"}
        answer = self.client.post("/sign-in/", fields)
        self.assertRedirects(answer, "/rooms/tea-break/")
        self.assertRedirects(self.client.get("/sign-in/"), "/", target_status_code=302)

    def test_a_wrong_password_is_said_and_nowhere_else_is_led_to(self) -> None:
        answer = self.client.post("/sign-in/", {"username": "ada", "password": "x"})
        self.assertContains(answer, 'role="alert"')
        self.assertContains(answer, "<details open>")
        fields = {"username": "ada", "password": PASSWORD, "next": "https://elsewhere.example/"}
        assert self.client.post("/sign-in/", fields)["Location"] == "/"

    def test_forms_need_the_csrf_token(self) -> None:
        strict = Client(enforce_csrf_checks=True)
        fields = {"username": "ada", "password": PASSWORD}
        assert strict.post("/sign-in/", fields).status_code == 403

    def test_another_address_for_a_second_person(self) -> None:
        for host, other in [("127.0.0.1:81", "localhost:81"), ("localhost:81", "127.0.0.1:81")]:
            page = self.client.get("/sign-in/", headers={"host": host})
            self.assertContains(page, f'href="http://{other}/"')
        self.assertContains(self.client.get("/sign-in/", headers={"host": "[::1]:81"}), "private")

    def test_signing_out_is_a_post(self) -> None:
        self.client.force_login(self.ada)
        assert self.client.get("/sign-out/").status_code == 405
        self.assertRedirects(self.client.post("/sign-out/"), "/sign-in/")
        self.assertRedirects(self.client.get("/"), "/sign-in/?next=/")


class RoomTests(DemoCase):
    def setUp(self) -> None:
        self.client.force_login(self.ada)

    def test_strangers_are_sent_to_sign_in(self) -> None:
        for path in ["/", "/rooms/lobby/", "/rooms/lobby/live/0/"]:
            self.assertRedirects(Client().get(path), f"/sign-in/?next={path}")

    def test_home_is_the_first_room(self) -> None:
        self.assertRedirects(self.client.get("/"), "/rooms/lobby/")

    def test_an_unknown_room_is_404_also_as_a_websocket(self) -> None:
        for path in ["/rooms/cellar/", "/rooms/cellar/live/0/", "/rooms/lobby/live/-1/"]:
            answer = self.client.get(path)
            self.assertContains(answer, "no such page", status_code=404)

    def test_the_websocket_asks_for_an_upgrade(self) -> None:
        answer = self.client.get("/rooms/lobby/live/0/")
        assert answer.status_code == 426
        assert answer["Upgrade"] == "websocket"

    def test_the_last_messages_oldest_first_escaped(self) -> None:
        for number in range(HISTORY + 5):
            self.say(f"number {number} <i>")
        self.say("elsewhere", Room.objects.get(slug="tea-break"))
        page = self.client.get("/rooms/lobby/")
        shown = [message.text for message, _ in page.context["messages"]]
        assert shown == [f"number {number} <i>" for number in range(5, HISTORY + 5)]
        self.assertContains(page, "number 54 &lt;i&gt;")
        self.assertNotContains(page, "<i>")

    def test_few_queries(self) -> None:
        for number in range(10):
            self.say(str(number))
        with self.assertNumQueries(5):  # session, user, room, rooms, messages with authors
            self.client.get("/rooms/lobby/")

    def test_saying_something_without_javascript(self) -> None:
        fields = {"text": " hello ", "key": str(uuid.uuid4())}
        for _ in range(2):  # a double click
            self.assertRedirects(self.client.post("/rooms/lobby/", fields), "/rooms/lobby/")
        assert [m.text for m in Message.objects.all()] == ["hello"]
        self.assertRedirects(self.client.post("/rooms/lobby/", {"text": "no key"}), "/rooms/lobby/")

    def test_a_refused_message_is_kept_in_the_form(self) -> None:
        answer = self.client.post("/rooms/lobby/", {"text": "x" * 1001})
        self.assertContains(answer, "x" * 1001, status_code=400)
        self.assertContains(answer, "this one has 1001", status_code=400)
        self.assertContains(self.client.post("/rooms/lobby/"), "nothing in this", status_code=400)
        assert not Message.objects.exists()

    def test_labels_and_live_regions(self) -> None:
        page = self.client.get("/rooms/lobby/")
        for part in [
            '<label class="unseen" for="id_text">Message to Lobby</label>',
            'role="log"',
            'aria-current="page"',
            'aria-label="Send"',
            'id="state" role="status"',
            '<html lang="en">',
        ]:
            self.assertContains(page, part)
        self.assertContains(page, reverse("live", args=["lobby", 0]))


class MessageTests(DemoCase):
    def test_frames(self) -> None:
        key = str(uuid.uuid4())
        assert MessageForm.from_frame(json.dumps({"text": "a", "key": key})).is_valid()
        for frame in ["", "{", "[]", '"a"', '{"text": 1, "key": "k"}', '{"text": "a"}', b"\xff"]:
            with pytest.raises(BadFrame):
                MessageForm.from_frame(frame)

    def test_missed(self) -> None:
        first, second = self.say("one"), self.say("two")
        event = json.loads(services.missed(self.lobby, first.pk))
        assert [message["id"] for message in event["messages"]] == [second.pk]
        assert event["messages"] == [events.as_dict(second)]

    def test_a_key_is_its_authors_own(self) -> None:
        key = {"text": "a", "key": str(uuid.uuid4())}
        for username in ["ada", "grace", "ada"]:
            form = MessageForm(key)
            form.is_valid()
            services.say(self.lobby, User.objects.get(username=username), form)
        assert Message.objects.count() == 2


class PresenceTests(DemoCase):
    def test_counts_websockets_and_names_people_once(self) -> None:
        presence = Presence()
        ada, grace = (Person.of(user) for user in User.objects.order_by("pk"))
        with presence.enter("lobby", grace), presence.enter("lobby", ada):
            with presence.enter("lobby", ada), presence.enter("tea-break", ada):
                assert presence.rooms() == {"lobby": [ada, grace], "tea-break": [ada]}
            assert presence.rooms() == {"lobby": [ada, grace]}
        assert presence.rooms() == {}

    def test_leaves_when_the_visit_fails(self) -> None:
        presence = Presence()
        with pytest.raises(ZeroDivisionError), presence.enter("lobby", Person("A", "a", 0)):
            raise ZeroDivisionError
        assert presence.rooms() == {}
