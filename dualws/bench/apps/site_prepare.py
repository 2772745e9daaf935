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
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    user = User.objects.create_user("load", password=None)
    session = SessionStore(KEY)
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save(must_create=True)


if __name__ == "__main__":
    main()
