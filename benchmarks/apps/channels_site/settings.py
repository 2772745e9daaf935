"""Settings of the project with Channels."""

from __future__ import annotations

from site_settings import *  # noqa: F403  # settings are built on others
from site_settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "channels"]
ROOT_URLCONF = "channels_site.asgi"
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
