"""Settings: those of the other sites, and nothing of websockets."""

from __future__ import annotations

from site_settings import *  # noqa: F403

ROOT_URLCONF = "http_site.urls"
