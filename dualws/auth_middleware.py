"""Sessions and users of clients that come back all at once, loaded together.

Law: *nobody is anybody whom Django would not make of them*. What is loaded for many is put where
Django would have put it, for a request each: nothing in it is shared. Only the plain case is
answered so, by one query for all sessions and one for all users; whatever else (a session that
has ended, a user who may not sign in, another hash of the password, a store or a backend with
ways of its own, a failing database) is left to Django, for that request alone.

Together are only requests for the same host, store and databases: a project may choose by them
whose sessions and users they are. A request inside a transaction sees what no other one does,
and stays alone, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import re
from collections.abc import Hashable
from datetime import datetime
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from django.conf import settings
from django.contrib import auth
from django.contrib.auth import middleware
from django.contrib.auth.backends import ModelBackend
from django.contrib.sessions.backends import cache, cached_db, db
from django.db.models.manager import BaseManager
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.functional import SimpleLazyObject
from django.utils.module_loading import import_string

from dualws.combining import Combiner
from dualws.contract import ENVIRON_WEBSOCKET, Server
from dualws.database import open_connections
from dualws.faces import WebSocket

#: Anything else was not made by a server, and may be more than a database or a cache can take.
_KEY = re.compile(r"[A-Za-z0-9_-]{8,40}")
_stock: Any = db.SessionStore


class _Group(NamedTuple):
    """What requests have in common that are answered together.

    :param sessions: database of the sessions; None when they are in a cache only
    :param users: database of the users; None when each request is to load its own
    """

    store: Hashable
    host: str | None
    sessions: str | None
    users: str | None


class _Found(NamedTuple):
    """What one request gets.

    :param expires: when the session does, if the cache does not know it yet
    """

    data: dict[str, Any]
    expires: datetime | None
    user: Any


class AuthenticationMiddleware(middleware.AuthenticationMiddleware):
    """Django's, which loads the sessions and users of many handshakes at once.

    In ``MIDDLEWARE`` in place of ``django.contrib.auth.middleware.AuthenticationMiddleware``.
    Other requests than those for a websocket are Django's as ever.
    """

    def process_request(self, request: HttpRequest) -> None:
        """Set ``request.user``, which is loaded when it is looked at."""
        super().process_request(request)
        ws = request.META.get(ENVIRON_WEBSOCKET)
        if isinstance(ws, WebSocket):
            user: Any = SimpleLazyObject(lambda: _get_user(request, ws.server))
            request.user = user


def _get_user(request: HttpRequest, server: Server) -> Any:
    if not hasattr(request, "_cached_user"):
        group = _group_of(request)
        if group is not None:
            found = _combiner(server).ask(group, request.session)
            if found is not None:
                _put(request, found)
    return middleware.get_user(request)


_combiners: WeakKeyDictionary[Server, Combiner[_Group, Any, _Found]] = WeakKeyDictionary()


def _combiner(server: Server) -> Combiner[_Group, Any, _Found]:
    found = _combiners.get(server)
    if found is None:
        found = _combiners.setdefault(server, Combiner(server.runtime, _load))
    return found


# -- before: in each request's own thread or greenlet ------------------------------------------


def _group_of(request: HttpRequest) -> _Group | None:
    """With whom the request may be answered; None when it is to be left to Django."""
    session: Any = request.session
    if hasattr(session, "_session_cache") or not _KEY.fullmatch(session.session_key or ""):
        return None
    if asyncio._get_running_loop() is not None:
        return None  # where Django refuses to wait
    if any(held.in_atomic_block or not held.autocommit for held in open_connections()):
        return None
    store: Any = type(session)
    sessions = None
    if store.load in (_stock.load, cached_db.SessionStore.load):
        manager = session.model.objects
        if store._get_session_from_db is not _stock._get_session_from_db or not _is_plain(manager):
            return None
        sessions = manager.db
    elif store.load is not cache.SessionStore.load:
        return None
    people = auth.get_user_model()._default_manager
    users = people.db if _is_plain(people) else None
    return _Group(store, request.META.get("HTTP_HOST"), sessions, users)


def _is_plain(manager: Any) -> bool:
    # One with a query of its own may make it for somebody: the site, the tenant, the language.
    return type(manager).get_queryset is BaseManager.get_queryset


# -- for all: where the first of them asked ----------------------------------------------------


def _load(group: _Group, sessions: list[Any]) -> list[_Found | None]:
    stored = _stored(group, sessions)
    keys = [None if one is None else _user_key(one[0]) for one in stored]
    wanted = {*keys} - {None}
    users: _Once = _Once()
    if group.users is not None and wanted:
        people = auth.get_user_model()._default_manager.using(group.users)
        users.things = {user.pk: user for user in people.filter(pk__in=wanted)}
    return [
        None if one is None else _Found(*one, users.take(key))
        for key, one in zip(keys, stored, strict=True)
    ]


class _Once:
    """Things of which nobody gets one that somebody else has."""

    def __init__(self) -> None:
        self.things: dict[Any, Any] = {}
        self._taken: set[Any] = set()

    def take(self, key: Any) -> Any:
        """The thing, or a copy; None if there is none."""
        thing = self.things.get(key)
        if key in self._taken:
            return copy.deepcopy(thing)
        self._taken.add(key)
        return thing


def _stored(
    group: _Group, sessions: list[Any]
) -> list[tuple[dict[str, Any], datetime | None] | None]:
    """The sessions' data, and when they expire if the cache does not know it."""
    first: Any = sessions[0]
    cached = _Once()
    if hasattr(first, "_cache"):
        with contextlib.suppress(Exception):  # as Django's stores do
            found = first._cache.get_many({session.cache_key for session in sessions})
            cached.things = {key: data for key, data in found.items() if data is not None}
    known = [cached.take(session.cache_key) if cached.things else None for session in sessions]
    rows = {}
    keys = {s.session_key for s, data in zip(sessions, known, strict=True) if data is None}
    if group.sessions is not None and keys:
        living = first.model.objects.using(group.sessions)
        living = living.filter(session_key__in=keys, expire_date__gt=timezone.now())
        names = ("session_key", "session_data", "expire_date")
        rows = {key: (text, expires) for key, text, expires in living.values_list(*names)}
    return [
        (data, None) if data is not None else _decoded(session, rows)
        for session, data in zip(sessions, known, strict=True)
    ]


def _decoded(
    session: Any, rows: dict[str, tuple[str, datetime]]
) -> tuple[dict[str, Any], datetime | None] | None:
    if session.session_key not in rows:
        return None
    text, expires = rows[session.session_key]
    try:
        return session.decode(text), expires
    except Exception:
        return None  # an error of that request's only


def _user_key(data: dict[str, Any]) -> Any:
    """The primary key of the user who is signed in; None when it is to be left to Django."""
    try:
        path = data[auth.BACKEND_SESSION_KEY]
        listed = path in settings.AUTHENTICATION_BACKENDS
        if listed and _backend(path).get_user is ModelBackend.get_user:
            return auth.get_user_model()._meta.pk.to_python(data[auth.SESSION_KEY])
    except Exception:
        return None  # Django says what is wrong
    return None


@functools.cache
def _backend(path: str) -> Any:
    return import_string(path)


# -- afterwards: in each request's own thread or greenlet again --------------------------------


def _put(request: HttpRequest, found: _Found) -> None:
    """Put what was found where Django would have put it."""
    session: Any = request.session
    data, expires, user = found
    if hasattr(session, "_session_cache"):
        return  # somebody else was faster
    if expires is not None and hasattr(session, "_cache"):
        session._cache.set(session.cache_key, data, session.get_expiry_age(expiry=expires))
    session._session_cache = data
    if user is not None and _is_signed_in(request, user):
        request._cached_user = user  # type: ignore[attr-defined]  # as Django's middleware does


def _is_signed_in(request: HttpRequest, user: Any) -> bool:
    """Whether Django would take *user* as it is; else it decides."""
    backend = _backend(request.session[auth.BACKEND_SESSION_KEY])()
    if not backend.user_can_authenticate(user) or not hasattr(user, "get_session_auth_hash"):
        return False
    known: Any = request.session.get(auth.HASH_SESSION_KEY)
    return bool(known) and constant_time_compare(known, user.get_session_auth_hash())
