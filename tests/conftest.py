"""Fixtures that every test may use.

==============  ================================================================================
``backend``     name of a backend; a test that takes it runs once on each (session)
``live``        a :class:`support.server.LiveServer` with the test project on ``backend``,
                kept for the whole run and checked for tracebacks after each test
``plain``       the same with ``support.apps``: WSGI applications without Django
``serve_app``   starts a server of any application with any options, stopped after the test
``share_app``   the same, kept for the other tests of the module that ask for the same server
==============  ================================================================================

A server's output since the beginning of the test is shown when the test fails.
"""

from __future__ import annotations

import contextlib
import signal
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from support.backends import LIBRARIES, chosen
from support.machine import require
from support.server import LiveServer

#: Tests of what is private to a backend are named after it, and leave with it.
collect_ignore_glob = [f"backends/test_{name}_*.py" for name in LIBRARIES if name not in chosen()]

#: ``nohup`` would have every server ignore it, too.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

_SHOWN = pytest.StashKey[list[tuple[LiveServer, int]]]()


class _Kept:
    """Starts a server once for all that ask for the same one, and again when it has ended."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders
        self._servers: dict[object, LiveServer] = {}

    def get(
        self,
        application: str,
        backend: str,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> LiveServer:
        """The running server."""
        wanted = application, backend, tuple(options), frozenset((env or {}).items())
        server = self._servers.get(wanted)
        if server is None or not server.running:
            folder = self._folders.mktemp(f"{backend}-server")
            server = LiveServer(
                application, backend=backend, folder=folder, options=options, env=env
            )
            self._servers[wanted] = server
        return server

    def stop(self) -> None:
        """End all of them, side by side."""
        with contextlib.ExitStack() as stops:
            for server in self._servers.values():
                if server.running:
                    server.signal(signal.SIGTERM)
                stops.callback(server.stop)


@pytest.fixture(scope="session", params=chosen())
def backend(request: pytest.FixtureRequest) -> str:
    """Name of the backend under test."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def _kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Kept]:
    """Servers that are kept for the whole run."""
    kept = _Kept(tmp_path_factory)
    yield kept
    kept.stop()


@pytest.fixture(scope="module")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Kept]:
    """Servers that are kept for a module."""
    kept = _Kept(tmp_path_factory)
    yield kept
    kept.stop()


def _watch(request: pytest.FixtureRequest, server: LiveServer) -> None:
    shown = request.node.stash.setdefault(_SHOWN, [])
    shown.append((server, server.stderr.position))


@pytest.fixture
def key() -> str:
    """A name of this test's own for notes, releases, topics, rows and people."""
    return uuid.uuid4().hex


@pytest.fixture
def live(backend: str, _kept: _Kept, request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    """The test project on the backend under test."""
    server = _kept.get("support.project.wsgi", backend)
    _watch(request, server)
    yield server
    server.check()


@pytest.fixture
def plain(backend: str, _kept: _Kept, request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    """WSGI applications without Django on the backend under test."""
    server = _kept.get("support.apps:application", backend)
    _watch(request, server)
    yield server
    server.check()


@pytest.fixture
def serve_app(
    backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., LiveServer]]:
    """``serve_app("module:app", "--option", …, env=…, host=…)``: a server for this test only."""
    servers: list[LiveServer] = []

    def start(
        application: str,
        *options: str,
        env: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        backend: str = backend,
    ) -> LiveServer:
        words: Sequence[str] = options
        server = LiveServer(
            application, backend=backend, folder=tmp_path, options=words, env=env, host=host
        )
        servers.append(server)
        _watch(request, server)
        return server

    with contextlib.ExitStack() as stops:
        yield start
        # Also when one of them has printed what a test did not expect.
        for server in servers:
            stops.callback(server.stop)
        for server in servers:
            if server.running:
                server.check()


@pytest.fixture
def share_app(
    backend: str, _shared: _Kept, request: pytest.FixtureRequest
) -> Iterator[Callable[..., LiveServer]]:
    """``share_app("module:app", "--option", …, env=…)``: a server that other tests have met."""
    servers: list[LiveServer] = []

    def share(application: str, *options: str, env: Mapping[str, str] | None = None) -> LiveServer:
        server = _shared.get(application, backend, options, env)
        servers.append(server)
        _watch(request, server)
        return server

    yield share
    for server in servers:
        server.check()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the slow tests of production unless they are named."""
    if collection_path.name != "production":
        return None
    return None if any("production" in argument for argument in config.args) else True


def pytest_runtest_setup(item: pytest.Item) -> None:
    """See to the programs that a test is marked to need."""
    for mark in item.iter_markers("needs"):
        require(mark.args)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the servers printed during a test that failed."""
    report = yield
    if report.failed:
        for server, start in item.stash.get(_SHOWN, []):
            title = f"{server.application} on {server.backend}"
            report.sections.append((title, server.output(start)))
    return report
