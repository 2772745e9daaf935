"""The views of ``support.project.faults`` alone, without a database: views that go wrong."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "support.project.settings")
os.environ.setdefault("DUALWS_TEST_SETTINGS", '{"ROOT_URLCONF": "support.project.faults"}')

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
