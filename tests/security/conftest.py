"""Fixtures of the tests about people and their sessions."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from support.server import LiveServer


@pytest.fixture
def serve_set(share_app: Callable[..., LiveServer]) -> Callable[..., LiveServer]:
    """``serve_set("--option", …, NAME=value)``: the test project with these settings, shared."""

    def start(*options: str, **settings: object) -> LiveServer:
        env = {"DUALWS_TEST_SETTINGS": json.dumps(settings)}
        return share_app("support.project.wsgi", *options, env=env)

    return start
