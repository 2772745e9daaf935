"""Settings: those of the other sites, and nothing of websockets."""

from __future__ import annotations

from site_settings import *  # noqa: F403  # settings are built on others

ROOT_URLCONF = "http_site.urls"
