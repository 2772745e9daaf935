"""The test project's WSGI application; makes its tables when a server loads it."""

from __future__ import annotations

import os

from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.db import connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "support.project.settings")

application = get_wsgi_application()
call_command("migrate", verbosity=0)
connections.close_all()
