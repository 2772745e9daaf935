"""What the server says to a browser: JSON objects that differ by ``type``.

=========  ==============================================  ================================
type       other members                                   sent to
=========  ==============================================  ================================
missed     ``messages``: a list, oldest first              one client, once, before anything
                                                           else counts as seen
message    ``message``                                     everyone in its room
presence   ``rooms``: slug -> list of people               everyone
error      ``detail``, ``key`` of the message or null      the client that caused it
=========  ==============================================  ================================
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

from dualws.demo.chat.models import Message
from dualws.demo.chat.people import Person


def missed(messages: Iterable[Message]) -> str:
    """The event that carries what a client has missed."""
    return json.dumps({"type": "missed", "messages": [as_dict(each) for each in messages]})


def message(new: Message) -> str:
    """The event that carries a *new* message."""
    return json.dumps({"type": "message", "message": as_dict(new)})


def presence(rooms: Mapping[str, Iterable[Person]]) -> str:
    """The event that tells who is where."""
    people = {slug: [dataclasses.asdict(person) for person in rooms[slug]] for slug in rooms}
    return json.dumps({"type": "presence", "rooms": people})


def error(detail: str, key: str | None = None) -> str:
    """The event that refuses a message.

    :param detail: what is wrong and what helps, for people
    :param key: the key of the message, as far as it is known
    """
    return json.dumps({"type": "error", "detail": detail, "key": key})


def as_dict(message: Message) -> dict[str, Any]:
    """A message as the browser gets it."""
    return {
        "id": message.pk,
        "key": str(message.key),
        "room": message.room.slug,
        "author": dataclasses.asdict(Person.of(message.author)),
        "text": message.text,
        "sent_at": message.sent_at.isoformat(),
    }
