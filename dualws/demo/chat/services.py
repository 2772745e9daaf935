"""Saying something: the one way for a message into the room, from whatever view it comes."""

from __future__ import annotations

import threading
from typing import Any

from dualws import publish
from dualws.demo.chat import events
from dualws.demo.chat.forms import MessageForm
from dualws.demo.chat.models import Message, Room

#: Held while a message is stored and published, so that messages are published in the order of
#: their ids. A client that has seen id 42 can then be sure that it has seen 41.
_in_order = threading.Lock()


def say(room: Room, author: Any, form: MessageForm) -> Message:
    """Store the message of a valid *form* and publish it to everyone in *room*.

    A message that was stored before, by its author and key, is published again but not
    stored again: who did not see the first one sees the second, the others skip it.

    :param room: where it is said
    :param author: the user who says it
    :param form: a valid form
    """
    with _in_order:
        message, _ = Message.objects.select_related("room", "author").get_or_create(
            author=author,
            key=form.instance.key,
            defaults={"room": room, "text": form.cleaned_data["text"]},
        )
        publish(message.room.topic, events.message(message))
    return message


def missed(room: Room, since: int) -> str:
    """The event with every message in *room* that came after the one with the id *since*."""
    return events.missed(room.messages.filter(pk__gt=since).select_related("room", "author"))
