"""A person as the others see them."""

from __future__ import annotations

import dataclasses
from typing import Any

#: How many colours the style sheet has for people: ``[data-tint="0"]`` and so on.
TINTS = 6


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Person:
    """What is shown of a user.

    :param name: the name to show
    :param username: unique, and what the browser compares to find its own messages
    :param tint: number of the person's colour
    """

    name: str
    username: str
    tint: int

    @classmethod
    def of(cls, user: Any) -> Person:
        """The person behind a signed-in *user*."""
        name = user.get_full_name() or user.get_username()
        return cls(name=name, username=user.get_username(), tint=user.pk % TINTS)
