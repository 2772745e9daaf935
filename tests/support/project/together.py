"""Who the people of a burst of handshakes are found to be, and what that asked the database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User, UserManager
from django.contrib.sessions.backends import db
from django.core.cache import cache
from django.db import OperationalError, connection
from django.db.backends.signals import connection_created
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import path

from dualws import WebSocketView, websocket
from dualws.auth_middleware import _combiners
from support.notes import note, wait_for_release

# -- who they are ------------------------------------------------------------------------------


def found(request: HttpRequest) -> dict[str, Any]:
    """Who asks, and whether somebody else has had the same objects."""
    user: Any = request.user
    shared = hasattr(user, "touched")
    own = request.session.get("own", {})
    shared |= "touched" in own
    told = {"name": user.get_username(), "owner": own.get("owner"), "shared": shared}
    user.touched = own["touched"] = True
    return told


class Who(WebSocketView):
    """Says who it is."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.told = found(request)
        return super().dispatch(request, *args, **kwargs)

    def opened(self) -> None:
        identity = self.ws.identity
        self.ws.send_json({**self.told, "identity": identity and identity.session})

    def received_message(self, message: str | bytes) -> None:
        self.ws.send(message)


@websocket
async def who_async(request: HttpRequest, ws: Any) -> None:
    """The same in a coroutine."""
    user = await request.auser()
    await ws.send_json({"name": user.get_username()})


def who_by_http(request: HttpRequest) -> HttpResponse:
    """The same by HTTP."""
    return JsonResponse(found(request))


def who_writes(request: HttpRequest) -> HttpResponseBase:
    """The same, after a word in the session."""
    request.session["word"] = "before"
    return websocket(Who)(request)


# -- what it asks ------------------------------------------------------------------------------

_watching = ""
#: what is to happen to the next query for many
_plans: list[tuple[str, str]] = []
_broken = False


def _look(execute: Callable[..., Any], sql: str, params: Any, *args: Any) -> Any:
    table = next((t for t in ("django_session", "auth_user") if f'FROM "{t}"' in sql), "")
    if _watching and table and sql.startswith("SELECT"):
        together = " IN (" in sql
        # The time until which sessions live is no session.
        note(_watching, [table, len(params) - (table == "django_session") if together else 0])
        if together and _plans:
            key, how = _plans.pop(0)
            note(key, "held")
            wait_for_release(key)
            if how == "fail":
                raise OperationalError("not together")
            if how == "exit":
                raise SystemExit("killed")
        if _broken:
            raise OperationalError("no database")
    return execute(sql, params, *args)


def _watch(connection: Any, **_: Any) -> None:
    if _look not in connection.execute_wrappers:
        connection.execute_wrappers.append(_look)


def watch(request: HttpRequest) -> HttpResponse:
    """Note queries under ``key`` from now on; ``hold`` the next one for many; or break."""
    global _watching, _broken
    connection_created.connect(_watch, dispatch_uid="together")
    _watch(connection)
    _watching = request.GET.get("key", "")
    _broken = "broken" in request.GET
    _plans[:] = [(request.GET["hold"], request.GET["how"])] if "hold" in request.GET else []
    return HttpResponse()


def queued(request: HttpRequest) -> HttpResponse:
    """How many wait for the next query."""
    queues = [q for combiner in list(_combiners.values()) for q in combiner._queues.values()]
    return JsonResponse(sum(map(len, queues)), safe=False)


def clear(request: HttpRequest) -> HttpResponse:
    """Empty the cache."""
    cache.clear()
    return HttpResponse()


# -- projects with ways of their own -----------------------------------------------------------


def old_hash(request: HttpRequest) -> HttpResponse:
    """As if the secret key had been changed since this session signed in."""
    user: Any = request.user
    secret = settings.SECRET_KEY_FALLBACKS[0]
    request.session[HASH_SESSION_KEY] = user._get_session_auth_hash(secret=secret)
    return HttpResponse()


class OwnBackend(ModelBackend):
    """Finds people in its own way."""

    def get_user(self, user_id: Any) -> Any:
        user: Any = super().get_user(user_id)
        if user is not None:
            user.username = f"own {user.get_username()}"
        return user


class SessionStore(db.SessionStore):
    """Loads sessions in its own way: this module as ``SESSION_ENGINE``."""

    def load(self) -> dict[str, Any]:
        data = super().load()
        if "own" in data:
            data["own"]["owner"] = f"own {data['own']['owner']}"
        return data


class _Nobody(UserManager[User]):
    """Shows no people whose name ends with "x"."""

    def get_queryset(self) -> QuerySet[User]:
        return super().get_queryset().exclude(username__endswith="x")


if getattr(settings, "OWN_PEOPLE", False):
    _people: Any = get_user_model()
    _people.add_to_class("own", _Nobody())
    _people._meta.default_manager_name = "own"
    _people._meta._expire_cache()


def touching(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Any:
    """Middleware that looks into the session before anybody asks for the user."""

    def look(request: HttpRequest) -> HttpResponseBase:
        request.session.get("language")
        return get_response(request)

    return look


def replacing(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Any:
    """Middleware that has users of its own."""

    def replace(request: HttpRequest) -> HttpResponseBase:
        request.user = User(username="replaced")
        return get_response(request)

    return replace


_chosen = threading.local()


def choosing(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Any:
    """Middleware by which a request says what database is its own."""

    def choose(request: HttpRequest) -> HttpResponseBase:
        _chosen.alias = request.GET.get("database")
        return get_response(request)

    return choose


class Router:
    """Sends a request to its own database."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return getattr(_chosen, "alias", None)


urlpatterns = [
    path("who/", websocket(Who)),
    path("who/async/", who_async),
    path("who/http/", who_by_http),
    path("who/writes/", who_writes),
    path("watch/", watch),
    path("queued/", queued),
    path("clear/", clear),
    path("old-hash/", old_hash),
]
