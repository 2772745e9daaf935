"""The chat as a Django application."""

from __future__ import annotations

from django.apps import AppConfig


class ChatConfig(AppConfig):
    """Named in full, because the label "chat" would be hidden behind the package's name."""

    name = "dualws.demo.chat"
    label = "chat"
    default_auto_field = "django.db.models.BigAutoField"
