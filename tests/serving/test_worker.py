"""What a worker knows of its arbiter."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from gunicorn.config import Config
from gunicorn.errors import AppImportError

from dualws.serving import gunicorn


def test_a_worker_that_a_reload_adds_is_not_among_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first ones end the arbiter when they cannot start, and nothing serves yet."""

    class Worker(gunicorn.Worker):
        """Its arbiter's numbers are its own."""

    def spawn(age: int, workers: int) -> Worker:
        config = Config()
        config.set("workers", workers)
        return Worker(age, 1, [], SimpleNamespace(), 30, config, logging.getLogger("tests"))

    monkeypatch.setenv("DUALWS_BACKEND", "gevent")
    monkeypatch.setattr(gunicorn, "_PAUSE", 0)
    began_with = [spawn(1, 2), spawn(2, 2)]
    later = [spawn(3, 8), spawn(8, 8)]
    try:
        for worker in began_with:
            assert isinstance(worker._unable("why"), AppImportError)
        for worker in later:
            assert isinstance(worker._unable("why"), SystemExit)
    finally:
        for worker in (*began_with, *later):
            worker.tmp.close()
