"""Sessions in the database that note each save: ``SESSION_ENGINE``."""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends import db

from support.notes import note


class SessionStore(db.SessionStore):
    """Notes what is saved under ``saves``."""

    def save(self, must_create: bool = False) -> None:
        note("saves", dict(self._session))
        super().save(must_create)

    _session: dict[str, Any]
