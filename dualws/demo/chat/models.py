"""What the chat remembers: rooms and the messages in them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.urls import reverse

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager

#: Characters that a message may have.
LONGEST = 1000


class Room(models.Model):
    """A place to talk."""

    messages: RelatedManager[Message]

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=40)
    about = models.CharField(max_length=120)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return str(self.name)

    def get_absolute_url(self) -> str:
        return reverse("room", args=[self.slug])

    @property
    def topic(self) -> str:
        """The topic to which the room's messages are published."""
        return f"room-{self.slug}"


class Message(models.Model):
    """One message. Its ``pk`` only grows, so "everything after 41" is what a client missed."""

    room = models.ForeignKey(Room, on_delete=models.CASCADE, related_name="messages")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="messages"
    )
    text = models.TextField(max_length=LONGEST)
    sent_at = models.DateTimeField(auto_now_add=True)
    #: Chosen by the client, who sends a message again when the connection broke before the
    #: message came back: the second one is then recognised and not stored twice.
    key = models.UUIDField(default=uuid.uuid4, blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["author", "key"], name="message_sent_once"),
        ]

    def __str__(self) -> str:
        return f"{self.author}: {self.text}"
