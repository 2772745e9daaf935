"""The chat as a Django application."""

from __future__ import annotations

from django.apps import AppConfig


class ChatConfig(AppConfig):
    """The name of the package; its last part, "chat", is the application's label."""

    name = "dualws.demo.chat"
