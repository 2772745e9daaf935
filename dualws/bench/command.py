"""``dualws bench``, and the same command for whoever knows more servers.

Law: *the command line knows no server*: it is made for a set of them.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from dualws.bench import plots, report
from dualws.bench.contenders import Contender, ours
from dualws.bench.load import ENGINES
from dualws.bench.result import Run
from dualws.bench.rounds import run as measure
from dualws.bench.workloads import CURVES, WORKLOADS, Workload

_FILE = click.Path(dir_okay=False, writable=True, path_type=Path)


def _options(command: Callable[..., None]) -> Callable[..., None]:
    """What measuring a workload and measuring a curve have in common."""
    for option in reversed(
        (
            click.option("--rounds", default=5, type=click.IntRange(1), help="Rounds."),
            click.option(
                "--seconds",
                default=2.0,
                type=click.FloatRange(0.1),
                help="Length of one server's turn in a round.",
            ),
            click.option("--warm-up", default=0.5, help="Seconds of load before each turn."),
            click.option("--servers", "names", metavar="A,B", help="Servers to compare, or 'all'."),
            click.option(
                "--engine",
                default="auto",
                type=click.Choice(ENGINES),
                help="What the load is written in; auto: C where there is a compiler.",
            ),
            click.option("--json", "file", type=_FILE, help="Write every round there."),
            click.option(
                "--plots",
                "folder",
                type=click.Path(file_okay=False, path_type=Path),
                help="Write an SVG picture of each run into that folder.",
            ),
        )
    ):
        command = option(command)
    return command


def make(
    contenders: Callable[[], Mapping[str, Contender]],
    default: Sequence[str] | None = None,
    python_for: Callable[[Contender], str] = lambda contender: sys.executable,
) -> click.Group:
    """A group of commands that measures *contenders*.

    :param contenders: gives the servers by name; called when a command needs them
    :param default: those that are taken when none are named; None: all
    :param python_for: see ``rounds.run``
    """

    def chosen(names: str | None) -> list[Contender]:
        known = contenders()
        if names == "all":
            return list(known.values())
        wanted = [name.strip() for name in names.split(",")] if names else default or list(known)
        unknown = [name for name in wanted if name not in known]
        if unknown:
            raise click.BadParameter(
                f"no server is called {', '.join(unknown)}; there are {', '.join(known)}",
                param_hint="--servers",
            )
        return [known[name] for name in wanted]

    def one(work: Workload, servers: Sequence[Contender], **options: Any) -> Run:
        able = [server for server in servers if work.need in server.can]
        run = measure(work, able, python_for=python_for, **options)
        report.show(run)
        return run

    def finish(runs: Sequence[Run], file: Path | None) -> None:
        if file is not None:
            report.write(runs, file)
        if not all(run.entries for run in runs):
            raise click.ClickException("a workload had no server that could take part")

    @click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
    def bench() -> None:
        """Measure messages a second, processor time, latency, fairness and memory.

        Only ratios within one run count; see docs/benchmarks.md.
        """

    @bench.command()
    def servers() -> None:
        """List the servers that can be compared."""
        for name, contender in contenders().items():
            mark = "*" if default is None or name in default else " "
            click.echo(f"{mark} {name:26}{contender.title}")
        click.echo("\n* taken when --servers is not given")

    @bench.command()
    def workloads() -> None:
        """List what can be sent."""
        for name, work in WORKLOADS.items():
            click.echo(f"{name:16}{work}")

    @bench.command()
    @click.option(
        "-w",
        "--workload",
        "works",
        multiple=True,
        default=("small",),
        type=click.Choice([*WORKLOADS, "all"]),
        help="What is sent; may be given several times.",
    )
    @click.option("--connections", type=click.IntRange(1), help="Instead of the workload's own.")
    @click.option("--size", type=click.IntRange(1), help="Bytes, instead of the workload's own.")
    @click.option("--in-flight", type=click.IntRange(1), help="Instead of the workload's own.")
    @_options
    def run(
        works: Sequence[str],
        connections: int | None,
        size: int | None,
        in_flight: int | None,
        names: str | None,
        file: Path | None,
        folder: Path | None,
        **options: object,
    ) -> None:
        """Measure servers side by side under one workload or several."""
        servers = chosen(names)
        changes = {"connections": connections, "size": size, "in_flight": in_flight}
        changed: dict[str, Any] = {
            key: value for key, value in changes.items() if value is not None
        }
        runs = []
        for name in WORKLOADS if "all" in works else dict.fromkeys(works):
            work = dataclasses.replace(WORKLOADS[name], **changed)
            runs.append(one(work, servers, **options))
            if folder is not None:
                plots.write(plots.bars(runs[-1]), folder / f"{name}.svg")
        finish(runs, file)

    @bench.command()
    @click.argument("against", type=click.Choice(list(CURVES)))
    @click.option("--most", type=click.IntRange(1), help="Leave points above it out.")
    @_options
    def curve(
        against: str,
        most: int | None,
        names: str | None,
        file: Path | None,
        folder: Path | None,
        **options: object,
    ) -> None:
        """Measure the cost of a message AGAINST the number of connections or its size."""
        servers = chosen(names)
        runs = {}
        for work in CURVES[against]:
            value = work.connections if against == "connections" else work.size
            if most is None or value <= most:
                runs[float(value)] = one(work, servers, **options)
        if folder is not None:
            across = "connections" if against == "connections" else "bytes of a message"
            title = f"Cost of an echo against {across}"
            plots.write(plots.curve(title, across, runs), folder / f"curve-{against}.svg")
        finish(list(runs.values()), file)

    return bench


#: ``dualws bench``: dualws on the backends that are installed, in each style of a view.
bench = make(ours)
