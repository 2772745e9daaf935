"""What is to be seen of several processes: figures added up, one access log, readiness."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.crowd import ask, open_socket
from support.frames import CLOSE, build, close_payload, read_frame
from support.proxies import free_ports
from support.raw import Response
from support.samples import samples, scrape
from support.timing import eventually
from support.workers import Fleet

Start = Callable[..., "Observed"]
RUNNERS = ["dualws", "gunicorn"]


class Observed:
    """A fleet whose figures are on a port of their own."""

    def __init__(self, folder: Path, backend: str, **options: Any) -> None:
        (self.port,) = free_ports(1)
        settings = {
            "ROOT_URLCONF": "support.project.draining",
            "DUALWS_METRICS_BIND": [f"127.0.0.1:{self.port}"],
            "DUALWS_DRAIN_WINDOW": 0.5,
            **options.pop("settings", {}),
        }
        (folder / "tmp").mkdir()
        env = {"DUALWS_TEST_SETTINGS": json.dumps(settings), "TMPDIR": str(folder / "tmp")}
        self.fleet = Fleet(folder, backend, env=env, **options)

    def get(self, path: str) -> Response:
        return scrape(self.port, path)

    def figures(self) -> dict[str, float]:
        return samples(self.get("/metrics"))

    def until(self, **wanted: float) -> dict[str, float]:
        """The figures once *wanted* are among them, whoever answers."""
        seen: dict[str, float] = {}

        def look() -> bool:
            with contextlib.suppress(OSError, EOFError):
                seen.clear()
                seen.update(self.figures())
            return all(seen.get(k) == v for k, v in wanted.items())

        try:
            eventually(look, what=f"the figures never were {wanted}")
        except AssertionError as error:
            error.add_note(f"the last: {seen}")
            raise
        return seen


@pytest.fixture
def start(backend: str, tmp_path: Path) -> Iterator[Start]:
    """``start(workers=2, …)``: a fleet with figures, stopped after the test."""
    started: list[Observed] = []

    def begin(**options: Any) -> Observed:
        started.append(Observed(tmp_path, backend, **options))
        return started[-1]

    yield begin
    for observed in started:
        observed.fleet.stop()
        sys.stderr.write(observed.fleet.text())


@pytest.mark.parametrize("runner", RUNNERS)
def test_figures_are_added_up_and_outlive_their_worker(
    start: Start, runner: str, tmp_path: Path
) -> None:
    observed = start(workers=2, runner=runner)
    fleet = observed.fleet
    observed.until(dualws_workers=2, dualws_workers_ready=2)
    clients = [open_socket(fleet, "/blocking/") for _ in range(6)]
    for client in clients:
        assert ask(client, b"hello") == "hello"
    observed.until(dualws_connections=6, dualws_messages_received_total=6)
    before = fleet.workers()
    victim = min(before)
    fleet.signal(signal.SIGKILL, victim)
    fleet.wait_for_others(before)
    eventually(lambda: victim not in fleet.workers(), what="it lives")
    figures = observed.until(dualws_workers=2)
    # What a killed worker had counted is kept; its connections are gone.
    assert figures["dualws_messages_received_total"] == 6
    assert figures["dualws_connections"] < 6
    for client in clients:
        client.close()
    # A worker that ends in order leaves its last figures behind.
    with open_socket(fleet, "/blocking/") as client:
        assert ask(client, b"again") == "again"
        observed.until(dualws_messages_received_total=7)
        fleet.signal(signal.SIGHUP)
        assert read_frame(client).close_code == 1012
        client.send(build(CLOSE, close_payload(1012)))
    figures = observed.until(
        dualws_workers=2,
        dualws_connections=0,
        dualws_messages_received_total=7,
        dualws_messages_sent_total=7,
    )
    assert figures['dualws_closes_total{code="1012"}'] >= 1
    fleet.stop()
    assert list((tmp_path / "tmp").glob("dualws-figures-*")) == []


def test_ready_while_one_worker_is(start: Start) -> None:
    observed = start(workers=2)
    observed.until(dualws_workers_ready=2)
    for _ in range(2):
        assert observed.get("/ready").status == 200
        assert observed.get("/live").status == 200
    old = observed.fleet.workers()
    observed.fleet.signal(signal.SIGTERM, min(old))
    observed.fleet.wait_for_others(old)
    observed.until(dualws_workers_ready=2)
    assert observed.get("/ready").status == 200


def test_whoever_ends_answers_for_the_others(start: Start) -> None:
    observed = start(workers=2)
    observed.until(dualws_workers_ready=2)
    old = observed.fleet.workers()
    observed.fleet.signal(signal.SIGHUP)
    answers = []

    def all_are_new() -> bool:
        for _ in range(20):
            # A connection that had not been accepted ends with the worker's socket.
            with contextlib.suppress(OSError, EOFError):
                answers.append(observed.get("/metrics").status)
        return not old & observed.fleet.workers()

    eventually(all_are_new, what="old workers live")
    assert set(answers) == {200}


ATOMS = (
    "%(h)s|%(m)s|%(U)s|%(s)s|%(b)s|%(p)s|%({user-agent}i)s|%({dualws.event}e)s|"
    "%({dualws.close_code}e)s|%({dualws.messages_in}e)s|%({dualws.bytes_out}e)s"
)
CONFIG = f"""
import gunicorn.glogging

class Logger(gunicorn.glogging.Logger):
    def atoms(self, resp, req, environ, request_time):
        atoms = super().atoms(resp, req, environ, request_time)
        atoms["m"] = atoms["m"].lower()
        return atoms

logger_class = Logger
accesslog = "access.log"
access_log_format = {ATOMS!r}
"""


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_access_log_is_gunicorns(start: Start, runner: str, tmp_path: Path) -> None:
    observed = start(workers=1, runner=runner, config=CONFIG)
    fleet = observed.fleet
    (worker,) = fleet.workers()
    with fleet.connect() as client:
        fields = ("Host", fleet.netloc), ("User-Agent", "a|b\x9b")
        client.send_request("GET", "/nothing%0Ahere/", *fields)
        length = len(client.read_response().body)
    for refused in (b"nonsense\r\n\r\n", b"GET /a?b HTTP/1.1\r\n\r\n"):
        with fleet.connect() as client:
            client.send(refused)
            assert client.read_response().status == 400
    with open_socket(fleet, "/blocking/") as client:
        assert ask(client, b"hello") == "hello"
        client.send(build(CLOSE, close_payload(4001)))
        read_frame(client)
    log = tmp_path / "access.log"

    def lines() -> list[str]:
        return log.read_text().splitlines() if log.exists() else []

    eventually(lambda: len(lines()) == 5, what="the log is not complete")
    assert lines() == [
        rf"127.0.0.1|get|/nothing\x0ahere/|404|{length}|<{worker}>|a|b\x9b|-|-|-|-",
        f"127.0.0.1|-||400|12|<{worker}>|-|-|-|-|-",
        f"127.0.0.1|get|/a|400|12|<{worker}>|-|-|-|-|-",
        f"127.0.0.1|get|/blocking/|101|0|<{worker}>|-|open|-|-|-",
        f"127.0.0.1|get|/blocking/|101|11|<{worker}>|-|close|4001|1|11",
    ]
    # Reopened as gunicorn reopens its files.
    os.rename(log, tmp_path / "access.old")
    fleet.signal(signal.SIGUSR1)
    eventually(log.exists, what="the log is not reopened")
    fleet.get("/again/")
    eventually(lambda: len(lines()) == 1, what="nothing in the new log")


def test_the_access_log_of_dualws_where_gunicorn_has_none(start: Start) -> None:
    settings = {
        "DUALWS_ACCESS_LOG": True,
        "DUALWS_ACCESS_LOG_FORMAT": "json",
        "LOGGING": {"version": 1},
    }
    observed = start(workers=1, settings=settings)
    (worker,) = observed.fleet.workers()
    observed.fleet.get("/nothing/")
    found = observed.fleet.stdout.wait_for(r'(?m)^\{.*"target": "/nothing/".*$')
    assert found is not None
    assert json.loads(found[0])["pid"] == worker
    assert re.search("404", found[0])
