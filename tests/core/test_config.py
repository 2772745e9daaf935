"""A configuration is what it was made: nothing changes it while a server runs."""

from __future__ import annotations

import dataclasses

import pytest

from dualws.contract import ServerConfig


def test_it_is_frozen_and_its_fields_have_names() -> None:
    config = ServerConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.threads = 3  # that is the point
    with pytest.raises(TypeError):
        ServerConfig(("127.0.0.1:1",))  # that, too


def test_bodies_are_held_in_memory_up_to_1_mib() -> None:
    assert ServerConfig().spool_size == 1024 * 1024
