"""Makes a site's tables and a signed-in user: ``python -m site_prepare``."""

from __future__ import annotations

import django

#: The key that the load's cookie holds (``dualws.bench.load.COOKIE``).
KEY = "benchmarkbenchmarkbenchmarkbenchm"


def main() -> None:
    django.setup()
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.auth.models import User
    from django.contrib.sessions.backends.db import SessionStore
    from django.contrib.sessions.models import Session
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    user = User.objects.create_user("load", password=None)
    store = SessionStore()
    data = {
        SESSION_KEY: str(user.pk),
        BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend",
        HASH_SESSION_KEY: user.get_session_auth_hash(),
    }
    # A store would make a key of its own for a session that does not exist yet.
    Session.objects.create(
        session_key=KEY, session_data=store.encode(data), expire_date=store.get_expiry_date()
    )


if __name__ == "__main__":
    main()
