"""Websocket views of people who sign in, and the HTTP views by which their sessions change."""

from __future__ import annotations

import contextlib
import gc
import json
import threading
from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import authenticate, get_user_model, login, logout
from django.contrib.auth.decorators import login_required, permission_required, user_passes_test
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.contrib.auth.models import Permission
from django.contrib.auth.signals import user_logged_out
from django.contrib.sessions.backends.base import UpdateError
from django.db import connection, transaction
from django.db.backends.signals import connection_created
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, QueryDict
from django.urls import path
from django.utils.decorators import method_decorator
from ws4py.websocket import WebSocket as Ws4pyWebSocket

from dualws import WebSocketView, websocket
from support.notes import note, wait_for_release

# -- sockets -----------------------------------------------------------------------


@websocket
def blocking(request: HttpRequest, ws: Any) -> None:
    """Echoes, and notes its end."""
    for message in ws:
        ws.send(message)
    note(request.GET["key"], [ws.close_code, ws.close_reason])


class Events(WebSocketView):
    """The same, called for events."""

    def received_message(self, message: str | bytes) -> None:
        self.ws.send(message)

    def closed(self, code: int, reason: str) -> None:
        note(self.request.GET["key"], [code, reason])


class Ws4pyEvents(Ws4pyWebSocket):
    """The same as a handler of ws4py."""

    def received_message(self, message: Any) -> None:
        self.send(message.data, message.is_binary)

    def closed(self, code: int, reason: str = "") -> None:
        note(QueryDict(self.environ["QUERY_STRING"])["key"], [code, reason])


@websocket
async def coroutine(request: HttpRequest, ws: Any) -> None:
    """The same as a coroutine."""
    async for message in ws:
        await ws.send(message)
    note(request.GET["key"], [ws.close_code, ws.close_reason])


def inside(request: HttpRequest) -> HttpResponse:
    """The same in the view itself."""
    ws = request.META["wsgi.websocket"]
    for message in ws:
        ws.send(message)
    note(request.GET["key"], [ws.close_code, ws.close_reason])
    return HttpResponse()


# -- sessions ----------------------------------------------------------------------


def act(session: Any, words: list[str]) -> str:
    """Read, set, delete, save or refresh what *words* say."""
    match words:
        case ["get", name]:
            return json.dumps(session.get(name))
        case ["set", name, value]:
            session[name] = json.loads(value)
        case ["append", name, value]:
            session[name].append(json.loads(value))
        case ["delete", name]:
            del session[name]
        case ["save"]:
            session.save()
        case ["refresh"]:
            session.refresh()
        case ["cycle"]:
            session.cycle_key()
    return "done"


def carry_out(session: Any, message: str) -> str:
    """:func:`act`; an error by its name."""
    try:
        return act(session, message.split(" ", 2))
    except (UpdateError, RuntimeError) as error:
        return type(error).__name__


@websocket
def session_of(request: HttpRequest, ws: Any) -> None:
    """Does with its session what the messages say; changes it once more at the end."""
    assert ws.session is request.session
    for message in ws:
        ws.send(carry_out(ws.session, message))
    request.session["left"] = True


class SessionEvents(WebSocketView):
    """The same, called for events."""

    def received_message(self, message: Any) -> None:
        self.ws.send(carry_out(self.ws.session, message))

    def closed(self, code: int, reason: str) -> None:
        self.request.session["left"] = True


@websocket
async def session_of_coroutine(request: HttpRequest, ws: Any) -> None:
    """The same as a coroutine: what asks the store is awaited."""
    async for message in ws:
        match message.split(" ", 2):
            case ["get", name]:
                answer = json.dumps(await ws.session.aget(name))
            case ["save"]:
                answer = "done"
                try:
                    await ws.session.asave()
                except (UpdateError, RuntimeError) as error:
                    answer = type(error).__name__
            case ["cycle"]:
                answer = await sync_to_async(carry_out)(ws.session, message)
            case _:
                answer = carry_out(ws.session, message)
        await ws.send(answer)
    request.session["left"] = True


def session_inside(request: HttpRequest) -> HttpResponse:
    """The same in the view itself, whose middleware saves what it changed."""
    ws = request.META["wsgi.websocket"]
    request.session["before"] = "the accept"
    ws.accept()
    for message in ws:
        ws.send(carry_out(request.session, message))
    request.session["left"] = True
    return HttpResponse()


def cart(request: HttpRequest) -> HttpResponse:
    """The whole session; ``set`` (JSON) changes it first."""
    changes = json.loads(request.GET.get("set", "{}"))
    if changes:  # even an empty update() makes Django save all that it has read
        request.session.update(changes)
    return JsonResponse({k: v for k, v in request.session.items() if not k.startswith("_auth")})


# -- people ------------------------------------------------------------------------


def enter(request: HttpRequest) -> HttpResponse:
    """Signs ``name`` in with the password "secret"; the user is made if need be."""
    name = request.GET["name"]
    known, _ = get_user_model().objects.get_or_create(username=name)
    if not known.password:  # new, or made by another view
        known.set_password("secret")
        known.save()
    user = authenticate(request, username=name, password="secret")
    assert user is not None
    login(request, user)
    return JsonResponse({"key": request.session.session_key})


def leave(request: HttpRequest) -> HttpResponse:
    """Signs out."""
    logout(request)
    return HttpResponse()


def leave_slowly(request: HttpRequest) -> HttpResponse:
    """Signs out, but waits for the test between the signal and the end of the session."""

    def wait(**_: Any) -> None:
        wait_for_release(request.GET["key"])

    user_logged_out.connect(wait, weak=False)
    try:
        logout(request)
    finally:
        user_logged_out.disconnect(wait)
    return HttpResponse()


def change(request: HttpRequest) -> HttpResponse:
    """Does to the user ``name`` what ``how`` says."""
    users = get_user_model().objects
    user = users.get(username=request.GET["name"])
    match request.GET["how"]:
        case "save":
            user.save()
        case "deactivate":
            user.is_active = False
            user.save(update_fields=["is_active"])
        case "delete":
            user.delete()
        case "password":
            user.set_password("another secret")
            user.save()
        case "permit":
            user.user_permissions.add(Permission.objects.get(codename="add_user"))
        case "roll back":
            with contextlib.suppress(LookupError), transaction.atomic():
                user.is_active = False
                user.save()
                raise LookupError
    return HttpResponse()


@login_required(login_url="/members/enter/")
@websocket
def for_users(request: HttpRequest, ws: Any) -> None:
    """Refused to others with a redirect."""
    ws.send(f"{request.user}")


@permission_required("auth.add_user", raise_exception=True)
@websocket
def for_permitted(request: HttpRequest, ws: Any) -> None:
    """Refused to others with 403."""
    ws.send(f"{request.user}")


@user_passes_test(lambda user: user.get_username() == "ada", login_url="/members/enter/")
@websocket
def for_ada(request: HttpRequest, ws: Any) -> None:
    """Refused to others with a redirect."""
    ws.send(f"{request.user}")


@method_decorator(login_required(login_url="/members/enter/"), name="dispatch")
class ForUsers(WebSocketView):
    """A class that is decorated as Django's are."""

    def opened(self) -> None:
        self.ws.send(f"{self.ws.user}")


class ForAda(WebSocketView):
    """A class that refuses by itself."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.get_username() != "ada":
            return HttpResponse("only for Ada", status=403)
        return super().dispatch(request, *args, **kwargs)

    def opened(self) -> None:
        self.ws.send(f"{self.ws.user}")


class LoginRequired(LoginRequiredMiddleware):
    """Django's, but for the view that signs in."""

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        return None if view is enter else super().process_view(request, view, args, kwargs)


# -- what it costs -----------------------------------------------------------------


def _note_query(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
    if "django_session" in sql and " IN (" in sql:
        note("checks", sql.count("%s"))
    return execute(sql, *args)


def _watch_queries(connection: Any, **_: Any) -> None:
    if _note_query not in connection.execute_wrappers:
        connection.execute_wrappers.append(_note_query)


def watch_queries(request: HttpRequest) -> HttpResponse:
    """Note the queries of the periodic check from now on."""
    connection_created.connect(_watch_queries, dispatch_uid="members")
    _watch_queries(connection)
    return HttpResponse()


def running(request: HttpRequest) -> HttpResponse:
    """How many threads and greenlets there are."""
    greenlets = sum(type(thing).__name__ == "greenlet" for thing in gc.get_objects())
    return JsonResponse(greenlets + threading.active_count(), safe=False)


urlpatterns = [
    path("blocking/", blocking),
    path("events/", Events.as_view()),
    path("ws4py/", websocket(Ws4pyEvents)),
    path("coroutine/", coroutine),
    path("inside/", inside),
    path("session/blocking/", session_of),
    path("session/events/", websocket(SessionEvents)),
    path("session/coroutine/", session_of_coroutine),
    path("session/inside/", session_inside),
    path("cart/", cart),
    path("enter/", enter),
    path("leave/", leave),
    path("leave/slowly/", leave_slowly),
    path("change/", change),
    path("for-users/", for_users),
    path("for-permitted/", for_permitted),
    path("for-ada/", for_ada),
    path("for-users/class/", ForUsers.as_view()),
    path("for-ada/class/", websocket(ForAda)),
    path("watch-queries/", watch_queries),
    path("running/", running),
]
