"""Measure the Autobahn test suite's large messages (group 9) beside Tornado's own handler.

::

    python scripts/autobahn_large.py
    python scripts/autobahn_large.py --rounds 7 --json large.json

Law: who is compared is compared in the same run. All servers are started first, then each gets its
turn in every round. Of processor time the medians of the rounds count; of elapsed time the quickest
round of each case, because what else the machine does only adds to it. ``wstest``, on CPython 2.7,
takes most of that itself: what the same cases take against an echo that does next to nothing
(:mod:`autobahn_echoes`) is taken off. No compression is offered in group 9.

Exit code 1 when a case is not OK, or somebody takes more than half of Tornado's time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import autobahn_python27 as python27
import autobahn_suite as suite
import click
from autobahn_run import OPTIONS, ROOT
from rich.console import Console
from rich.table import Table

from dualws.bench import cpu
from dualws_conformance.live import LiveServer

#: The measures: Tornado's own handler, and the echo that does the least.
OWN, LEAST = "tornado's own", "least"
STYLES = ("blocking", "event", "async")
#: The most that dualws may take of Tornado's time.
MOST = 0.5
#: Seconds that one turn may take.
_LIMIT = 300.0
_ANNOUNCED = re.compile(r"http://(\S+)")


@dataclasses.dataclass(frozen=True)
class Server:
    """Who is measured.

    :param name: its name in the table
    :param url: address of its echo
    :param pid: its process
    """

    name: str
    url: str
    pid: int


@dataclasses.dataclass(frozen=True)
class Turn:
    """What one turn took.

    :param processor: seconds of processor time of the server, all its threads together
    :param elapsed: seconds that each case took, as the suite tells
    """

    processor: float
    elapsed: Mapping[str, float]


#: Of each server its turns, one a round.
Turns = Mapping[str, Sequence[Turn]]


@dataclasses.dataclass(frozen=True)
class Figures:
    """What is told of one server.

    :param processor: seconds
    :param processor_ratio: to Tornado's own handler
    :param elapsed: seconds
    :param beyond: seconds of these that are not the suite's own
    :param beyond_ratio: to Tornado's own handler
    """

    processor: float
    processor_ratio: float
    elapsed: float
    beyond: float
    beyond_ratio: float

    @property
    def good(self) -> bool:
        """Whether it takes no more than it may, by either measure."""
        return self.processor_ratio <= MOST and self.beyond_ratio <= MOST


def figures(name: str, turns: Turns) -> Figures:
    """Compare *name* with Tornado's own handler."""
    rounds = list(zip(turns[name], turns[OWN], strict=True))
    beyond = quickest(turns[name]) - quickest(turns[LEAST])
    return Figures(
        processor=statistics.median(mine.processor for mine, _ in rounds),
        processor_ratio=statistics.median(
            _ratio(mine.processor, own.processor) for mine, own in rounds
        ),
        elapsed=quickest(turns[name]),
        beyond=beyond,
        beyond_ratio=_ratio(beyond, quickest(turns[OWN]) - quickest(turns[LEAST])),
    )


def quickest(turns: Sequence[Turn]) -> float:
    """Seconds that all cases take, each in its quickest round."""
    return sum(min(turn.elapsed[case] for turn in turns) for case in turns[0].elapsed)


def _ratio(part: float, whole: float) -> float:
    """*part* of *whole*: infinite where there is nothing to compare with."""
    return part / whole if whole > 0 else float("inf")


def judged(turns: Turns) -> dict[str, Figures]:
    """The figures of those that are judged: all but the two measures."""
    return {name: figures(name, turns) for name in turns if name not in (OWN, LEAST)}


def table(turns: Turns) -> Table:
    """All servers' figures."""
    shown = Table(box=None, pad_edge=False)
    shown.add_column("server")
    for title in ("processor", "ratio", "elapsed", "beyond the suite's own", "ratio"):
        shown.add_column(title, justify="right")
    for name in turns:
        one = figures(name, turns)
        shown.add_row(
            name,
            f"{one.processor:.2f} s",
            f"{one.processor_ratio:.2f}",
            f"{one.elapsed:.2f} s",
            f"{one.beyond:.2f} s",
            f"{one.beyond_ratio:.2f}",
        )
    return shown


@contextlib.contextmanager
def _echo(kind: str, name: str) -> Iterator[Server]:
    """One of the measures, in a process of its own."""
    script = Path(__file__).with_name("autobahn_echoes.py")
    with subprocess.Popen(
        [sys.executable, script, kind], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            announced = _ANNOUNCED.search(process.stdout.readline())
            if announced is None:
                raise click.ClickException(f"the echo {kind!r} announced no address")
            yield Server(name, f"ws://{announced[1]}/", process.pid)
        finally:
            process.kill()


def _turn(server: Server, binaries: Path, names: Sequence[str], folder: Path) -> Turn:
    before = cpu.of_process(server.pid)
    run = suite.Run(binaries, "server", server.url, names, folder, _LIMIT)
    try:
        while run.running:
            time.sleep(0.05)
        verdicts = run.verdicts()
    finally:
        run.stop()
    if verdicts:
        told = ", ".join(f"{verdict.case} {verdict.problem}" for verdict in verdicts)
        raise click.ClickException(f"{server.name}: its figures would say nothing: {told}")
    after = cpu.of_process(server.pid)
    if before is None or after is None:
        raise click.ClickException("this system does not tell a process's processor time")
    return Turn(after - before, run.seconds())


@click.command()
@click.option("--backend", "backends", multiple=True, default=("gevent", "tornado"))
@click.option("--rounds", default=5, show_default=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write every turn.")
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    default=ROOT / ".tox" / "autobahn-suite",
    help="Folder that keeps the environment from one run to the next.",
)
def main(backends: tuple[str, ...], rounds: int, json_file: Path | None, cache: Path) -> None:
    """Run group 9 in rounds, and tell who took how long."""
    python = python27.find()
    if python is None:
        raise click.ClickException("There is no CPython 2.7, on which alone the suite runs.")
    binaries = python27.environment(python, cache / "environment")
    names = [name for name in suite.cases(binaries, None) if name.startswith("9.")]
    turns: dict[str, list[Turn]] = {}
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(_echo("tornado", OWN)),
            stack.enter_context(_echo("least", LEAST)),
        ]
        for backend in backends:
            live = LiveServer(backend, OPTIONS)
            stack.callback(live.stop)
            servers += [
                Server(f"{backend}, {style}", f"ws://{live.netloc}/{style}/echo/", live.process.pid)
                for style in STYLES
            ]
        # The first round makes every server import, cache and allocate what it will need.
        for number in range(rounds + 1):
            for server in servers:
                turn = _turn(server, binaries, names, cache / "reports" / "large")
                told = f"{turn.processor:.2f} s, {sum(turn.elapsed.values()):.2f} s elapsed"
                click.echo(f"round {number}, {server.name}: {told}", err=True)
                if number:
                    turns.setdefault(server.name, []).append(turn)
    if json_file is not None:
        every = {name: [dataclasses.asdict(turn) for turn in one] for name, one in turns.items()}
        json_file.write_text(json.dumps(every, indent=1))
    Console().print(table(turns))
    bad = [name for name, one in judged(turns).items() if not one.good]
    click.echo(f"More than half: {'; '.join(bad)}" if bad else "All take at most half.")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
