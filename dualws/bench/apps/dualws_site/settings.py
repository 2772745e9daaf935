"""Settings: what a project with sign-in has, and limits that no workload reaches."""

from __future__ import annotations

import os

from site_settings import *  # noqa: F403  # settings are built on others
from site_settings import INSTALLED_APPS, MIDDLEWARE

INSTALLED_APPS = [*INSTALLED_APPS, "dualws"]
if os.environ.get("BENCHMARK_TOGETHER", "0") not in ("", "0"):
    MIDDLEWARE = [
        name.replace("django.contrib.auth.middleware", "dualws.auth_middleware")
        for name in MIDDLEWARE
    ]
ROOT_URLCONF = "dualws_site.urls"
DUALWS_MAX_MESSAGE_SIZE = 64 * 1024 * 1024
# A thread for each blocking view on Tornado: as many as the largest workload has connections.
DUALWS_MAX_BLOCKING_HANDLERS = 12_000
