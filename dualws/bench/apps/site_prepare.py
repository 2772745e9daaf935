"""Makes a site's tables, and users who are signed in: ``python -m site_prepare``."""

from __future__ import annotations

import django

#: The key that the load's cookies hold, and how many there are (``dualws.bench.load.COOKIE``).
KEY = "benchmarkbenchmarkbenchmark{:05}"
PEOPLE = 5000


def main() -> None:
    django.setup()
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.auth.hashers import make_password
    from django.contrib.auth.models import User
    from django.contrib.sessions.backends.db import SessionStore
    from django.contrib.sessions.models import Session
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    User.objects.bulk_create(
        User(username=f"load{number}", password=make_password(None)) for number in range(PEOPLE)
    )
    store = SessionStore()
    expires = store.get_expiry_date()
    # A store would make a key of its own for a session that does not exist yet.
    Session.objects.bulk_create(
        Session(
            session_key=KEY.format(number),
            session_data=store.encode(
                {
                    SESSION_KEY: str(user.pk),
                    BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend",
                    HASH_SESSION_KEY: user.get_session_auth_hash(),
                }
            ),
            expire_date=expires,
        )
        for number, user in enumerate(User.objects.order_by("pk"))
    )


if __name__ == "__main__":
    main()
