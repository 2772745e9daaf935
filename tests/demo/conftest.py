"""Fixtures of the demo's tests: one demo for each backend, kept for the whole run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo.demoserver import Client, DemoServer


@pytest.fixture(scope="session")
def kept_demo(backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    """The demo on the backend under test."""
    server = DemoServer(backend=backend, folder=tmp_path_factory.mktemp(f"{backend}-demo"))
    yield server
    server.stop()


@pytest.fixture
def demo(kept_demo: DemoServer) -> Iterator[DemoServer]:
    """The demo, checked for tracebacks after the test."""
    yield kept_demo
    kept_demo.check()


@pytest.fixture(scope="session")
def ada(kept_demo: DemoServer) -> Client:
    """Ada, signed in."""
    return Client(kept_demo, "ada")


@pytest.fixture(scope="session")
def grace(kept_demo: DemoServer) -> Client:
    """Grace, signed in."""
    return Client(kept_demo, "grace")
