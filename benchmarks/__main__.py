"""The command line: ``python -m benchmarks``, from the root of a checkout."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from benchmarks.contenders import CONTENDERS, DEFAULT
from benchmarks.peers import python_for
from dualws.bench.contenders import Contender
from dualws.bench.errors import BenchmarkError
from dualws.bench.load import ENGINES
from dualws.bench.workloads import WORKLOADS


def _contenders(names: str | None) -> list[Contender]:
    chosen = [name.strip() for name in names.split(",")] if names else list(DEFAULT)
    unknown = [name for name in chosen if name not in CONTENDERS]
    if unknown:
        raise click.BadParameter(
            f"no server is called {', '.join(unknown)}; there are {', '.join(CONTENDERS)}",
            param_hint="--servers",
        )
    return [CONTENDERS[name] for name in chosen]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Measure dualws beside its peers."""


@cli.command()
def servers() -> None:
    """List the servers that can be compared."""
    for contender in CONTENDERS.values():
        mark = "*" if contender.name in DEFAULT else " "
        click.echo(f"{mark} {contender.name:24}{contender.title}")
    click.echo("\n* taken when --servers is not given")


@cli.command()
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1), help="Rounds.")
@click.option(
    "--seconds",
    default=2.0,
    show_default=True,
    type=click.FloatRange(0.1),
    help="Length of one server's turn in a round.",
)
@click.option("--warm-up", default=0.5, show_default=True, help="Seconds before each turn.")
@click.option("--servers", "names", metavar="A,B", help="Servers to compare.")
@click.option(
    "--workload",
    default="small",
    show_default=True,
    type=click.Choice(list(WORKLOADS)),
    help="What is sent.",
)
@click.option("--connections", type=click.IntRange(1), help="Instead of the workload's own.")
@click.option("--size", type=click.IntRange(1), help="Bytes, instead of the workload's own.")
@click.option("--in-flight", type=click.IntRange(1), help="Instead of the workload's own.")
@click.option(
    "--engine",
    default="auto",
    show_default=True,
    type=click.Choice(ENGINES),
    help="What the load is written in; auto: C where there is a compiler.",
)
@click.option(
    "--json",
    "file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write every round there.",
)
def echo(
    rounds: int,
    seconds: float,
    warm_up: float,
    names: str | None,
    workload: str,
    connections: int | None,
    size: int | None,
    in_flight: int | None,
    engine: str,
    file: Path | None,
) -> None:
    """Echo messages: how many a second, how fairly, how late."""
    from dualws.bench import report
    from dualws.bench import rounds as runner

    named = WORKLOADS[workload]
    work = dataclasses.replace(
        named,
        connections=connections or named.connections,
        size=size or named.size,
        in_flight=in_flight or named.in_flight,
    )
    contenders = _contenders(names)
    try:
        run = runner.run(
            work,
            contenders,
            rounds=rounds,
            seconds=seconds,
            warm_up=warm_up,
            engine=engine,
            python_for=python_for,
        )
    except BenchmarkError as error:
        raise click.ClickException(str(error)) from error
    report.show(run)
    if file is not None:
        report.write(run, file)


if __name__ == "__main__":
    cli(prog_name="python -m benchmarks")
