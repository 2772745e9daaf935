"""What only the client in process does: turns, exceptions, what it says when nothing comes.

``test_testing.py`` runs this module with Django's test runner in a process of its own.
"""

from __future__ import annotations

import logging

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.db import connection, transaction
from django.test import SimpleTestCase, TestCase, TransactionTestCase, override_settings

from dualws import MessageTooBig, SendTimeout, WebSocketClosed, publish
from dualws.errors import InvalidMessage
from dualws.testing import WebSocketClient, WebSocketRefused
from testing import views

RAISING = ("/raises/", "/raises/events/", "/raises/async/", "/raises/inside/")


@override_settings(ROOT_URLCONF="testing.views")
class Case(TestCase):
    """A test case with the client."""

    client_class = WebSocketClient
    client: WebSocketClient


class Turns(Case):
    """The test and the handler take turns, in one transaction."""

    def test_what_was_sent_is_handled_before_the_next_line(self) -> None:
        with self.client.websocket("/groups/late/") as ws:
            ws.send("one")
            assert Group.objects.filter(name="one").exists()
            ws.send("two")
            assert Group.objects.filter(name="two").exists()
            assert [ws.receive(), ws.receive()] == ["stored", "stored"]
        assert Group.objects.filter(name="at the end").exists()

    def test_a_handler_shares_the_tests_transaction(self) -> None:
        with transaction.atomic():
            with self.client.websocket("/users/") as ws:
                ws.send("ada")
                assert ws.receive_json() == 1
            transaction.set_rollback(True)
        assert not get_user_model().objects.exists()
        assert connection.in_atomic_block
        assert "close" not in vars(connection)
        assert connection._thread_sharing_count == 0

    def test_queries_of_the_handler_are_counted(self) -> None:
        with self.client.websocket("/users/events/") as ws, self.assertNumQueries(2):
            ws.send("ada")
        assert get_user_model().objects.count() == 1

    def test_subscriptions_are_made_when_the_client_has_connected(self) -> None:
        with self.client.websocket("/ws/topic/?topic=turns") as ws:
            assert publish("turns", "hello") == 1
            assert [ws.receive(), ws.receive()] == ["subscribed", "hello"]
        assert publish("turns", "nobody") == 0

    def test_many_at_once(self) -> None:
        sockets = [self.client.websocket("/users/async/") for _ in range(10)]
        for number, ws in enumerate(sockets):
            ws.send(f"user-{number}")
            assert ws.receive_json() == number + 1
        for ws in sockets:
            ws.close()


class Handshakes(Case):
    """What the client sends, and what comes back."""

    def test_a_refusal_is_an_ordinary_response(self) -> None:
        with pytest.raises(
            WebSocketRefused, match=r"answered with 302 Found to /sign-in/"
        ) as caught:
            self.client.websocket("/ws/members/")
        response = caught.value.response
        self.assertRedirects(response, "/sign-in/?next=/ws/members/", fetch_redirect_response=False)
        assert response.client is self.client
        assert response.resolver_match.route == "ws/members/"
        assert response.wsgi_request.path == "/ws/members/"

    def test_the_middlewares_own_refusals_are_responses_too(self) -> None:
        with pytest.raises(WebSocketRefused, match="403 Forbidden: ") as caught:
            self.client.websocket("/ws/inside/", origin="https://elsewhere.example")
        assert caught.value.response.status_code == 403
        assert caught.value.response.wsgi_request.path == "/ws/inside/"

    def test_a_bad_handshake(self) -> None:
        response = self.client.handshake("/ws/echo/", headers={"Sec-WebSocket-Version": "12"})
        assert response.status_code == 426
        assert self.client.get("/ws/echo/").status_code == 426

    def test_handshake_gives_every_response(self) -> None:
        assert self.client.handshake("/ws/refuse/403/").status_code == 403
        assert self.client.handshake("/ws/refuse/403/")["X-Why"] == "because"
        accepted = self.client.handshake("/ws/inside/accept/", subprotocols=["chat.v2"])
        assert accepted.status_code == 101
        assert accepted["X-Room"] == "blue"
        assert accepted["Sec-WebSocket-Protocol"] == "chat.v2"

    def test_cookies_of_the_response_are_kept(self) -> None:
        for visit in (1, 2):
            with self.client.websocket("/ws/visit/") as ws:
                assert ws.response.cookies["theme"].value == "dark"
            assert self.client.cookies["theme"].value == "dark"
            assert self.client.session["visits"] == visit

    def test_what_the_request_holds(self) -> None:
        client = WebSocketClient(headers={"X-Test": "default"})
        with client.websocket("/state/?a=1", secure=True) as ws:
            ws.send("?")
            state = ws.receive_json()
        assert state["header"] == "default"
        assert state["query"] == {"a": "1"}
        assert state["secure"]
        assert state["host"] == "testserver"
        with client.websocket("/state/", query_params={"b": "2"}, HTTP_HOST="localhost") as ws:
            ws.send("?")
            state = ws.receive_json()
        assert state["query"] == {"b": "2"}
        assert state["host"] == "localhost"

    def test_login_and_permissions(self) -> None:
        user = get_user_model().objects.create_user("ada", password="secret")
        assert self.client.login(username="ada", password="secret")
        with pytest.raises(WebSocketRefused, match="403"):
            self.client.websocket("/permitted/")
        user.user_permissions.add(Permission.objects.get(codename="view_user"))
        with self.client.websocket("/permitted/") as ws:
            assert ws.receive() == "ada"
        self.client.logout()
        with pytest.raises(WebSocketRefused):
            self.client.websocket("/permitted/")

    def test_compression_is_agreed_on_as_with_a_browser(self) -> None:
        with self.client.websocket("/ws/echo/") as ws:
            assert "permessage-deflate" in ws.response["Sec-WebSocket-Extensions"]
            ws.send("x" * 10_000)
            assert ws.receive() == "x" * 10_000
        with self.client.websocket("/ws/echo/", compression=False) as ws:
            assert "Sec-WebSocket-Extensions" not in ws.response

    @override_settings(DUALWS_COMPRESSION_CONTEXT_TAKEOVER=True)
    def test_fragments_and_messages_share_a_context(self) -> None:
        with self.client.websocket("/fragments/") as ws:
            for kind, whole in [("large", "0123456789" * 20_000), ("one", "alone")] * 3:
                ws.send(kind)
                assert ws.receive() == whole
        with self.client.websocket("/fragments/interrupted/") as ws:
            assert list(ws) == ["beginning", "published", "sent" * 1000, "end"]

    def test_subprotocols_are_a_list(self) -> None:
        with pytest.raises(TypeError, match=r"\['chat'\]"):
            self.client.websocket("/ws/echo/", subprotocols="chat")

    @override_settings(DUALWS_MAX_MESSAGE_SIZE=10)
    def test_settings_count(self) -> None:
        with self.client.websocket("/ws/echo/") as ws:
            ws.send("x" * 11)
            assert ws.receive_close() == 1009


class Exceptions(Case):
    """What goes wrong in a view is seen in the test."""

    def test_what_a_handler_raises_is_raised_in_the_test(self) -> None:
        for path in RAISING:
            with self.client.websocket(path) as ws:
                ws.send("go")
                assert ws.receive() == "first", "what came before the exception comes first"
                with pytest.raises(LookupError, match="own bug") as caught:
                    ws.receive()
            names = [entry.name for entry in caught.traceback]
            assert any(
                name in names
                for name in (
                    path.strip("/").replace("/", "_"),
                    "raises",
                    "received_message",
                    "async_raises",
                    "raises_inside",
                )
            ), names
            assert ws.close_code == 1011

    def test_it_is_raised_at_the_end_at_the_latest(self) -> None:
        for path in RAISING:
            with pytest.raises(LookupError), self.client.websocket(path) as ws:
                ws.send("go")
        ws = self.client.websocket("/raises/")
        ws.send("go")
        with pytest.raises(LookupError):
            ws.send("it has failed by now")

    def test_exceptions_can_be_left_to_the_close_code(self) -> None:
        quiet = WebSocketClient(raise_request_exception=False)
        for path in RAISING:
            with quiet.websocket(path) as ws:
                assert ws.receive() == "first"
                ws.send("go")
                assert ws.receive_close() == 1011

    def test_an_exception_of_the_test_is_not_hidden(self) -> None:
        def fails() -> None:
            with self.client.websocket("/raises/") as ws:
                ws.send("go")
                raise AssertionError("the test's own")

        with pytest.raises(AssertionError, match="the test's own") as caught:
            fails()
        assert "LookupError" in caught.value.__notes__[0]

    def test_what_a_view_raises_before_it_accepts(self) -> None:
        with pytest.raises(RuntimeError, match="refused by a bug"):
            self.client.websocket("/ws/refuse-by-crash/")
        quiet = WebSocketClient(raise_request_exception=False)
        assert quiet.handshake("/ws/refuse-by-crash/").status_code == 500

    def test_a_message_that_breaks_off(self) -> None:
        for path in ("/fragments/", "/fragments/events/", "/fragments/async/"):
            with self.client.websocket(path) as ws:
                ws.send("breaks")
                with pytest.raises(ZeroDivisionError):
                    ws.receive()
                assert (ws.close_code, ws.close_reason) == (1011, "a message broke off")
            with self.client.websocket(path) as ws:
                ws.send("mixed")
                with pytest.raises(TypeError, match="all text or all bytes"):
                    ws.receive()

    def test_receiving_json_that_is_none(self) -> None:
        with self.client.websocket("/ws/echo/") as ws:
            ws.send("no JSON")
            with pytest.raises(InvalidMessage, match=r"line 1, column 1 of 'no JSON'"):
                ws.receive_json()


class Waiting(Case):
    """Everything that is waited for comes in time or is said to be missing."""

    def setUp(self) -> None:
        self.client.websocket_timeout = 0.2
        self.client.websocket_patience = 0.1
        views.released.clear()
        self.addCleanup(views.released.set)

    def test_no_message(self) -> None:
        with self.client.websocket("/ws/echo/") as ws:
            ws.send("x")
            ws.receive()
            with pytest.raises(TimeoutError) as caught:
                ws.receive()
            assert str(caught.value) == (
                "no message from /ws/echo/ within 0.2 s, after 1 before: "
                "its handler waits for a message"
            )
            with pytest.raises(TimeoutError, match=r"not closed within 0\.05 s"):
                ws.receive_close(timeout=0.05)
            ws.receive_nothing()

    def test_something_else_than_what_was_waited_for(self) -> None:
        with self.client.websocket("/ws/echo/") as ws:
            ws.send("unexpected")
            with pytest.raises(AssertionError, match=r"was to send nothing, but .*'unexpected'"):
                ws.receive_nothing()
            with pytest.raises(AssertionError, match=r"was to be closed, but .*'unexpected'"):
                ws.receive_close()
            assert ws.receive() == "unexpected"
        with self.client.websocket("/ws/returns/") as ws:
            ws.receive()
            with pytest.raises(WebSocketClosed, match="1000") as caught:
                ws.receive()
            assert caught.value.code == 1000
            with pytest.raises(WebSocketClosed):
                ws.send("too late")
            with pytest.raises(WebSocketClosed):
                ws.ping()
            ws.receive_nothing()

    def test_a_handler_that_is_busy_elsewhere(self) -> None:
        ws = self.client.websocket("/stuck/")
        ws.send("go")
        with pytest.raises(TimeoutError, match=r"busy in stuck\(\), .*views\.py:\d+: released"):
            ws.receive()
        ws.ping(b"answered all the same")
        with pytest.raises(TimeoutError, match=r"did not end .* after it was closed: .*stuck\(\)"):
            ws.close()
        views.released.set()
        ws.close()
        assert ws.close_code == 1000

    def test_a_request_that_is_not_answered(self) -> None:
        with pytest.raises(TimeoutError, match=r"not answered .*busy in wait_.*"):
            self.client.websocket("/slow/")
        views.released.set()


class Ends(Case):
    """How a websocket ends, from either side."""

    def test_iteration_ends_with_the_websocket(self) -> None:
        with self.client.websocket("/ws/returns/") as ws:
            assert list(ws) == ["first and last"]
            assert ws.closed
            assert "closed with 1000" in repr(ws)

    def test_a_connection_that_breaks(self) -> None:
        from support.notes import noted

        for number, path in enumerate(("/ws/echo/", "/ws/events/", "/ws/async/")):
            with self.client.websocket(f"{path}?key=broken-{number}") as ws:
                ws.abort()
                assert ws.close_code == 1006
            assert noted(f"broken-{number}")[0][0] == 1006

    def test_close_codes(self) -> None:
        from support.notes import noted

        with self.client.websocket("/ws/echo/?key=codes") as ws:
            with pytest.raises(ValueError, match="1006"):
                ws.close(1006)
            ws.close(None)
        with self.client.websocket("/ws/echo/?key=codes") as ws:
            ws.close(4000, "because")
            ws.close()
        assert noted("codes") == [[1005, ""], [4000, "because"]]

    @override_settings(DUALWS_SEND_TIMEOUT=0.05, DUALWS_SEND_BUFFER_SIZE=1000)
    def test_a_client_that_never_reads(self) -> None:
        from support.notes import noted

        with self.client.websocket("/ws/flood/?key=flood", compression=False) as ws:
            assert ws.close_code == 1008
        assert noted("flood") == [[SendTimeout.__name__, 1008]]

    @override_settings(DUALWS_SEND_BUFFER_SIZE=1000)
    def test_a_client_that_reads_gets_everything(self) -> None:
        with self.client.websocket("/ws/flood/?key=read", compression=False) as ws:
            for _ in range(20):
                assert ws.receive() == bytes(1024 * 1024)
            ws.abort()

    def test_the_peer_learns_of_a_message_too_big(self) -> None:
        assert issubclass(MessageTooBig, WebSocketClosed)
        assert issubclass(SendTimeout, WebSocketClosed)


@override_settings(ROOT_URLCONF="testing.views")
class NoDatabase(SimpleTestCase):
    """A test case without a database refuses it to handlers as well."""

    client_class = WebSocketClient
    client: WebSocketClient

    def test_what_needs_none_works(self) -> None:
        with self.client.websocket("/ws/echo/") as ws:
            ws.send("x")
            assert ws.receive() == "x"

    def test_queries_are_refused(self) -> None:
        with self.client.websocket("/users/") as ws:
            ws.send("ada")
            with pytest.raises(Exception, match="to 'default' are not allowed in Simple"):
                ws.receive()


@override_settings(ROOT_URLCONF="testing.views")
class Committed(TransactionTestCase):
    """Without a transaction around the test."""

    client_class = WebSocketClient
    client: WebSocketClient

    def test_handlers_store_and_see(self) -> None:
        for number, path in enumerate(("/users/", "/users/events/", "/users/async/")):
            with self.client.websocket(path) as ws:
                ws.send(f"user-{number}")
                assert ws.receive_json() == number + 1
        assert get_user_model().objects.count() == 3


logging.getLogger("dualws.handler").setLevel(logging.CRITICAL)
logging.getLogger("dualws.connection").setLevel(logging.CRITICAL)
