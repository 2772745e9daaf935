"""What is soaked: echoes in every style, pages, and what the process holds."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "support.project.settings")
os.environ.setdefault("DUALWS_TEST_SETTINGS", '{"ROOT_URLCONF": "soak.urls"}')

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
