"""The session as a websocket handler sees it, and which sessions still live.

Law: a session is never written back stale. A handler outlives its request by hours, in which
HTTP requests fill carts; so nothing is saved by itself, and what a handler saves is what it
changed: key by key, on top of what is stored at that moment.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Collection
from importlib import import_module
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.sessions.backends import cache as cache_backend
from django.contrib.sessions.backends import cached_db, signed_cookies
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.db import router
from django.http import HttpRequest
from django.utils import timezone

_ENDED = "there is no session, or it has ended: nothing can be saved"
#: Tries to save a session that HTTP requests write to at the same moment.
_ATTEMPTS = 20


class HandlerSession(SessionBase):
    """``ws.session``, which is also the handler's ``request.session``.

    It reads like every Django session, as it was at the handshake until :meth:`refresh`.
    Changes are kept by :meth:`save` only. Made by :func:`detach`, with the store of
    ``SESSION_ENGINE`` as a further base.
    """

    _session_cache: dict[str, Any]
    _as_stored: dict[str, Any]

    def refresh(self) -> None:
        """Forget what was read, and changes that were not saved: read anew when next used."""
        self.__dict__.pop("_session_cache", None)
        self.__dict__.pop("_as_stored", None)
        self.modified = False

    def load(self) -> dict[str, Any]:
        """The stored session."""
        return self._remember(super().load())

    async def aload(self) -> dict[str, Any]:
        """:meth:`load`, awaited."""
        return self._remember(await super().aload())

    def save(self, must_create: bool = False) -> None:
        """Write what was changed since the handshake, :meth:`refresh` or the last save.

        Each key that was set or deleted is written over what is stored now; other keys keep
        what HTTP requests wrote meanwhile. Afterwards the session is up to date.

        :raises UpdateError: the session has ended (signed out, expired), or there never was one
        :raises RuntimeError: sessions are kept in cookies, which a websocket cannot set
        """
        self.keys()  # reads it, when nothing was read so far
        before, now = self._as_stored, self._session_cache
        if isinstance(self, signed_cookies.SessionStore):
            if before == now:
                return
            raise RuntimeError(
                "SESSION_ENGINE keeps sessions in cookies, and a websocket cannot set one: "
                "use another engine, or write in an HTTP request"
            )
        if self.session_key is None:
            raise UpdateError(_ENDED)
        if hasattr(self, "get_model_class"):
            self._swap(before, now)
        else:
            stored = super().load()
            if self.session_key is None:  # the engine's answer to a session that is not there
                raise UpdateError(_ENDED)
            self._session_cache = _merged(before, now, stored)
            super().save()
        self._remember(self._session_cache)
        self.modified = False

    async def asave(self, must_create: bool = False) -> None:
        """:meth:`save`, awaited."""
        await sync_to_async(self.save)()

    def create(self) -> None:
        """Refused, as is what needs it (``login``, ``cycle_key``).

        :raises RuntimeError: always: a new session needs a cookie, and the handshake is over
        """
        raise RuntimeError(
            "a websocket handler cannot begin a session: the client gets its cookie with the "
            "answer to a request. Sign in, or cycle the key, by HTTP; or write to "
            "request.session in a decorator, before the handshake is answered"
        )

    async def acreate(self) -> None:
        """:meth:`create`, awaited."""
        self.create()

    def _swap(self, before: dict[str, Any], now: dict[str, Any]) -> None:
        """Save to a database: only in place of what was read, so that what an HTTP request
        writes in that moment is not lost either."""
        store: Any = self
        model = store.get_model_class()
        rows = model.objects.using(router.db_for_write(model)).filter(
            session_key=self.session_key, expire_date__gt=timezone.now()
        )
        for _ in range(_ATTEMPTS):
            row = rows.first()
            if row is None:
                raise UpdateError(_ENDED)
            self._session_cache = _merged(before, now, self.decode(row.session_data))
            new = store.create_model_instance(self._session_cache)
            if rows.filter(session_data=row.session_data).update(
                session_data=new.session_data, expire_date=new.expire_date
            ):
                break
        else:
            raise UpdateError(f"the session changed {_ATTEMPTS} times while it was saved")
        if isinstance(self, cached_db.SessionStore):
            store._cache.delete(store.cache_key)

    def _remember(self, data: dict[str, Any]) -> dict[str, Any]:
        # A deep copy: lists and dictionaries in a session are changed in place.
        self._as_stored = copy.deepcopy(data)
        return data


def _merged(before: dict[str, Any], now: dict[str, Any], stored: dict[str, Any]) -> dict[str, Any]:
    """*stored*, with what is different in *now* from *before*."""
    for key in before.keys() - now.keys():
        stored.pop(key, None)
    for key, value in now.items():
        if key not in before or before[key] != value:
            stored[key] = value
    return stored


@functools.cache
def _class_for(store: type[SessionBase]) -> type[HandlerSession]:
    # The name of the class is part of the salt that sessions are signed with.
    names = {"__module__": __name__, "__qualname__": store.__qualname__}
    made: type[HandlerSession] = type(store.__name__, (HandlerSession, store), names)
    return made


def detach(request: HttpRequest, *, save: bool) -> None:
    """Give *request*, whose handler runs from now on, a session that is not saved by itself.

    :param save: save what the view changed so far. Not after ``SessionMiddleware`` has done so:
        a second time would undo what other requests wrote since
    """
    session = getattr(request, "session", None)
    if not isinstance(session, SessionBase) or isinstance(session, HandlerSession):
        return
    if save and session.modified and not isinstance(session, signed_cookies.SessionStore):
        session.save()
    detached = _class_for(type(session))(session.session_key)
    data = getattr(session, "_session_cache", None)
    if data is not None:
        detached._session_cache = detached._remember(data)
    request.session = detached


def living(keys: Collection[str]) -> set[str]:
    """Those of *keys* whose session has neither ended nor expired.

    One query for all where the engine can do that (database, cached database, cache), one
    look each elsewhere.
    """
    store: Any = import_module(settings.SESSION_ENGINE).SessionStore
    if hasattr(store, "get_model_class"):
        model = store.get_model_class()
        # Not from a replica, which may not have the newest yet.
        found = model.objects.using(router.db_for_write(model)).filter(
            session_key__in=keys, expire_date__gt=timezone.now()
        )
        return set(found.values_list("session_key", flat=True))
    if issubclass(store, cache_backend.SessionStore):
        prefix = store.cache_key_prefix
        cached = store()._cache.get_many([prefix + key for key in keys])
        return {key for key in keys if prefix + key in cached}
    # The session of a user who has signed in is never empty.
    return {key for key in keys if store(key).load()}
