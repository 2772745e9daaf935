"""The WSGI application of a Django project whose URLconf a test chose."""

from __future__ import annotations

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
