"""The Django application: ``INSTALLED_APPS = ["dualws", …]`` adds the command and the checks."""

from __future__ import annotations

from django.apps import AppConfig


class DualwsConfig(AppConfig):
    name = "dualws"
    verbose_name = "dualws"

    def ready(self) -> None:
        """Register the system checks."""
        from dualws import checks

        checks.register()
