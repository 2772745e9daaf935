"""Settings: what a project with sign-in has, and nothing else."""

from __future__ import annotations

from site_settings import *  # noqa: F403
from site_settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "dualws"]
ROOT_URLCONF = "dualws_site.urls"
