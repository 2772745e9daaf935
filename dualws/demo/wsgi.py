"""The WSGI application of the demo.

``StaticFilesHandler`` serves the style sheet and the scripts, so that the demo needs no
other server. A deployment leaves static files to a proxy or to WhiteNoise.
"""

from __future__ import annotations

import os

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dualws.demo.settings")

application = StaticFilesHandler(get_wsgi_application())
