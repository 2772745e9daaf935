"""Runs cases on backends and collects what came of it.

Law: every case of every backend and style has exactly one result, whatever happens: a case
that hangs ends by its connections' time limits, a server that died is started again and its
death is the failure of the cases that were on it.
"""

from __future__ import annotations

import dataclasses
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from dualws_conformance.kit import Kit
from dualws_conformance.live import LiveServer
from dualws_conformance.model import Case, Failed
from dualws_conformance.tls import Tls

#: Cases that run beside each other on one server.
WORKERS = 3


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of one case on one backend in one style.

    :param case: the case
    :param backend: name of the backend
    :param style: style of handler
    :param seconds: how long it took
    :param failure: one sentence; empty when it passed
    :param transcript: for a failure, what each connection sent and received
    """

    case: Case
    backend: str
    style: str
    seconds: float
    failure: str = ""
    transcript: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the backend does what the case asks."""
        return not self.failure


Observer = Callable[[Result], object]


class Session:
    """One backend's live servers, for as long as cases need them. Close it at the end.

    :param backend: name of the backend
    :param quick: measure with fewer repetitions
    :param tls: serve with this certificate
    """

    def __init__(self, backend: str, *, quick: bool = False, tls: Tls | None = None) -> None:
        self.backend = backend
        self._tls = tls
        self._quick = quick
        self._lock = threading.Lock()
        self._servers: dict[tuple[str, ...], LiveServer] = {}

    def server(self, *options: str) -> LiveServer:
        """The running server with these further options; started when there is none.

        :raises ServerError: it does not come up
        """
        with self._lock:
            server = self._servers.get(options)
            if server is not None and not server.running:
                server.stop()
                server = None
            if server is None:
                server = self._servers[options] = LiveServer(self.backend, options, self._tls)
            return server

    def run(self, case: Case, style: str) -> Result:
        """Run one case."""
        server = self.server()
        kit = Kit(server, style, quick=self._quick, others=self.server)
        failure = ""
        begin = time.monotonic()
        try:
            case.run(kit)
        except Failed as error:
            failure = str(error)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            failure = (
                f"the case could not go on: {type(error).__name__}: {error} "
                f"(line {where.lineno} of {where.name})"
            )
        finally:
            kit.close()
        seconds = time.monotonic() - begin
        if not server.running:
            failure = f"the server has ended; it printed: {server.errors[-2000:]} {failure}".strip()
        transcript: tuple[str, ...] = ()
        if failure:
            transcript = tuple(
                f"connection {number}, {entry}"
                for number, one in enumerate(kit.transcripts, 1)
                for entry in one.entries
            )
        return Result(case, self.backend, style, seconds, failure, transcript)

    def close(self) -> None:
        """Stop the servers."""
        for server in self._servers.values():
            server.stop()
        self._servers.clear()


def plan(cases: Iterable[Case]) -> list[tuple[Case, str]]:
    """Each case with each of its styles, in the order in which they run."""
    runs = [(case, style) for case in cases for style in case.styles]
    return sorted(runs, key=lambda run: run[0].exclusive)


def run(
    backends: Sequence[str],
    cases: Sequence[Case],
    observe: Observer = lambda result: None,
    *,
    quick: bool = False,
    tls: Tls | None = None,
) -> list[Result]:
    """Run all cases on all backends, which run side by side.

    :param backends: names of the backends
    :param observe: called with each result as it comes, from several threads
    :param quick: measure with fewer repetitions
    :param tls: serve with this certificate
    :return: the results, in the order of backends and cases
    :raises ServerError: a backend's server does not come up
    """
    runs = plan(cases)
    sessions = [Session(backend, quick=quick, tls=tls) for backend in backends]
    try:
        for session in sessions:
            session.server()
        with ThreadPoolExecutor(len(sessions)) as pool:
            parts = list(pool.map(lambda session: _run_all(session, runs, observe), sessions))
    finally:
        for session in sessions:
            session.close()
    order = {id(case): number for number, case in enumerate(cases)}
    return sorted(
        (result for part in parts for result in part),
        key=lambda result: (backends.index(result.backend), order[id(result.case)]),
    )


def _run_all(session: Session, runs: Sequence[tuple[Case, str]], observe: Observer) -> list[Result]:
    def one(run: tuple[Case, str]) -> Result:
        result = session.run(*run)
        observe(result)
        return result

    with ThreadPoolExecutor(WORKERS) as pool:
        results = list(pool.map(one, (run for run in runs if not run[0].exclusive)))
    return results + [one(run) for run in runs if run[0].exclusive]
