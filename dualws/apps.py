"""The Django application: ``INSTALLED_APPS = ["dualws", …]`` adds the command and the checks."""

from __future__ import annotations

from django.apps import AppConfig


class DualwsConfig(AppConfig):
    name = "dualws"
    verbose_name = "dualws"

    def ready(self) -> None:
        """Register the system checks; tell requests and signals of websockets."""
        from dualws import auth, checks, database, requests

        checks.register()
        requests.install()
        auth.connect_signals()
        database.count_connections()
