"""What a new demo begins with: two people and three rooms."""

from __future__ import annotations

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db import transaction

from dualws.demo.chat.models import Room

PASSWORD = "difference-engine"
PEOPLE = [
    ("ada", "Ada", "Lovelace"),
    ("grace", "Grace", "Hopper"),
]
ROOMS = [
    ("lobby", "Lobby", "Everyone comes through here"),
    ("engine-room", "Engine room", "Gears, loops and greenlets"),
    ("tea-break", "Tea break", "Nothing that runs on electricity"),
]


@transaction.atomic
def seed() -> None:
    """Create the people and the rooms, in an empty database."""
    password = make_password(PASSWORD)
    for username, first, last in PEOPLE:
        User.objects.create(username=username, first_name=first, last_name=last, password=password)
    for slug, name, about in ROOMS:
        Room.objects.create(slug=slug, name=name, about=about)
