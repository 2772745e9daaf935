"""Whose websocket it is, and its end when that is no longer so.

Law: a websocket whose user was signed in at the handshake is closed with :data:`CODE` once the
same cookie would not sign that user in any more: signed out, session ended or expired,
password changed, user deactivated or deleted. What this process does itself is noticed at
once, by Django's signals; the rest by a check of all sockets in one go, every
``DUALWS_AUTH_RECHECK`` seconds. Nothing is started for a single socket.
"""

from __future__ import annotations

import functools
import logging
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from django.apps import apps
from django.db import router, transaction
from django.http import HttpRequest
from django.utils.functional import LazyObject, SimpleLazyObject, empty

from dualws.database import release_connections

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

    from dualws.connection import Connection
    from dualws.contract import Server

logger = logging.getLogger("dualws.security")

#: Close code: sign in again. (Codes from 4000 are the application's: RFC 6455 section 7.4.2.)
CODE = 4401
#: Sockets that are checked with one query for their sessions and one for their users.
BATCH = 500
#: Seconds after which a session that was signed out is looked at once more: its signal is sent
#: before it ends, so a client may have come back with it in between.
SOON = 1.0


class Identity(NamedTuple):
    """Who was signed in at a handshake.

    :param user: primary key as a session keeps it; None for a user who is not in the database
    :param session: key of the session; None where something else signed the user in
    :param password: the session's hash of the user's password; empty without
    """

    user: str | None
    session: str | None
    password: str


def identify(request: HttpRequest) -> Identity | None:
    """Who is signed in; None for an anonymous request. Loads the user, and forgets how that is
    done, for it will not be done again."""
    user = getattr(request, "user", None)
    if user is None:
        return None
    signed_in = user.is_authenticated
    _let_go_of(request, user)
    if not signed_in:
        return None
    from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, get_user_model

    if isinstance(user, LazyObject):
        # It is loaded now. What is looked up through the lazy object takes ten times as long.
        user = user._wrapped
    session = getattr(request, "session", None)
    known = isinstance(user, get_user_model())
    pk = _key_of(user) if known else None
    if session is None or SESSION_KEY not in session:
        return Identity(pk, None, "")
    return Identity(pk, session.session_key, session.get(HASH_SESSION_KEY, ""))


def _let_go_of(request: HttpRequest, user: Any) -> None:
    """Have Django's ways to load the user no longer hold *request*, which holds them: only the
    collector would find the two when the websocket has ended."""
    if isinstance(user, SimpleLazyObject) and user._wrapped is not empty:
        vars(user)["_setupfunc"] = None
    auser: Any = vars(request).get("auser")
    if isinstance(auser, functools.partial) and auser.args == (request,):
        vars(request)["auser"] = functools.partial(_weakly, auser.func, weakref.ref(request))


async def _weakly(auser: Callable[[Any], Any], request: weakref.ref[HttpRequest]) -> Any:
    return await auser(request())


def _key_of(user: AbstractBaseUser) -> str:
    pk = user._meta.pk
    assert pk is not None
    key: str = pk.value_to_string(user)
    return key


# -- the sockets -------------------------------------------------------------------

_watches: weakref.WeakKeyDictionary[Server, Watch] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def watch(connection: Connection, identity: Identity) -> None:
    """Close *connection* when *identity* is no longer signed in."""
    connect_signals()
    connection.identity = identity
    with _lock:
        found = _watches.get(connection.server)
        if found is None:
            found = _watches[connection.server] = Watch(connection.server)
    found.start()


def close(chosen: Callable[[Identity], bool], reason: str) -> None:
    """Close the sockets of this process that *chosen* picks."""
    with _lock:
        watches = list(_watches.values())
    for one in watches:
        for connection, identity in one.sockets():
            if chosen(identity):
                end(connection, identity, reason)


def end(connection: Connection, identity: Identity, reason: str) -> None:
    """Close a socket and say why."""
    logger.info("closing a websocket of user %s: %s", identity.user, reason)
    connection.close(CODE, reason)


class Watch:
    """The periodic check of one server; its timer runs while there are sockets to check.

    :param server: its ``auth_recheck`` says how often
    """

    def __init__(self, server: Server) -> None:
        self._server = weakref.ref(server)
        self._lock = threading.Lock()
        self._running = False

    def sockets(self) -> Iterator[tuple[Connection, Identity]]:
        """The open sockets of users who have signed in."""
        server = self._server()
        for connection in () if server is None else tuple(server.connections):
            identity: Identity | None = connection.identity
            if identity is not None and not connection.closed:
                yield connection, identity

    def start(self) -> None:
        """Check from now on, if the configuration says so."""
        with self._lock:
            server = self._server()
            if self._running or server is None or not server.config.auth_recheck:
                return
            self._running = True
        self._call_later(server)

    def soon(self, session: str) -> None:
        """Check the sockets of *session* in a moment."""
        server = self._server()
        if server is not None:
            runtime = server.runtime
            runtime.call_later(SOON, runtime.submit, self._check_session, session)

    def _call_later(self, server: Server) -> None:
        runtime = server.runtime
        runtime.call_later(server.config.auth_recheck, runtime.submit, self._check_all)

    def _check_all(self) -> None:
        check(self.sockets())
        server = self._server()
        with self._lock:
            self._running = server is not None and bool(server.connections)
        if server is not None and self._running:
            self._call_later(server)

    def _check_session(self, session: str) -> None:
        check((c, identity) for c, identity in self.sockets() if identity.session == session)


# -- the check ---------------------------------------------------------------------


def check(sockets: Iterable[tuple[Connection, Identity]]) -> None:
    """Close those of *sockets* whose user is not signed in any more.

    When the database or the cache fails nothing is closed; the next check may succeed.
    """
    remaining = iter(sockets)
    try:
        while batch := list(islice(remaining, BATCH)):
            _check_batch(batch)
    except Exception:
        logger.exception("cannot check whether the users of websockets are still signed in")
    finally:
        release_connections()


def _check_batch(batch: list[tuple[Connection, Identity]]) -> None:
    sessions = {identity.session for _, identity in batch if identity.session is not None}
    alive: set[str] = set()
    if sessions:
        from dualws.sessions import living

        alive = living(sessions)
    users = _users({identity.user for _, identity in batch if identity.user is not None})
    for connection, identity in batch:
        if identity.session is not None and identity.session not in alive:
            end(connection, identity, "the session has ended")
        elif identity.user is not None:
            reason = _objection(users.get(identity.user), identity)
            if reason:
                end(connection, identity, reason)


def _users(keys: set[str]) -> dict[str, AbstractBaseUser]:
    if not keys:
        return {}
    from django.contrib.auth import get_user_model

    model = get_user_model()
    found = model._base_manager.using(router.db_for_write(model)).filter(pk__in=keys)
    return {_key_of(user): user for user in found}


def _objection(user: AbstractBaseUser | None, identity: Identity) -> str:
    """Why the identity is no longer that of *user*; empty when it is."""
    if user is None:
        return "the user was deleted"
    if not user.is_active:
        return "the user was deactivated"
    if identity.password and not _same_password(user, identity.password):
        return "the password was changed"
    return ""


def _same_password(user: AbstractBaseUser, known: str) -> bool:
    # Secret already, and compared with itself: no attacker chooses either side.
    if user.get_session_auth_hash() == known:
        return True
    return known in user.get_session_auth_fallback_hash()


# -- Django's signals --------------------------------------------------------------

_connected = False


def connect_signals() -> None:
    """Listen to what this process does to users and sessions; once."""
    global _connected
    if _connected or not apps.is_installed("django.contrib.auth"):
        return
    _connected = True
    from django.contrib.auth import get_user_model
    from django.contrib.auth.signals import user_logged_out
    from django.db.models.signals import post_delete, post_save

    model = get_user_model()
    user_logged_out.connect(_logged_out, dispatch_uid="dualws.auth")
    post_save.connect(_saved, sender=model, dispatch_uid="dualws.auth")
    post_delete.connect(_deleted, sender=model, dispatch_uid="dualws.auth")


def _logged_out(request: HttpRequest | None = None, **_: Any) -> None:
    key = getattr(getattr(request, "session", None), "session_key", None)
    if key is None:
        return
    close(lambda identity: identity.session == key, "signed out")
    with _lock:
        watches = list(_watches.values())
    for one in watches:
        one.soon(key)


def _saved(instance: AbstractBaseUser, created: bool, using: str | None = None, **_: Any) -> None:
    if not created and _watches:
        transaction.on_commit(lambda: _look_at(instance), using=using)


def _deleted(instance: AbstractBaseUser, using: str | None = None, **_: Any) -> None:
    if _watches:
        key = _key_of(instance)  # which the instance loses
        transaction.on_commit(
            lambda: close(lambda identity: identity.user == key, "the user was deleted"),
            using=using,
        )


def _look_at(user: AbstractBaseUser) -> None:
    key = _key_of(user)
    with _lock:
        watches = list(_watches.values())
    for one in watches:
        for connection, identity in one.sockets():
            if identity.user == key and (reason := _objection(user, identity)):
                end(connection, identity, reason)
