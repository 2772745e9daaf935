"""The command line: ``python -m benchmarks``, from the root of a checkout."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.contenders import DEFAULT, contenders
from benchmarks.flame import record
from benchmarks.peers import python_for
from dualws.bench.command import make
from dualws.bench.errors import BenchmarkError
from dualws.bench.workloads import WORKLOADS

cli = make(contenders, DEFAULT, python_for)


@cli.command()
@click.argument("server")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("-w", "--workload", default="small", type=click.Choice(list(WORKLOADS)))
@click.option("--seconds", default=5.0, type=click.FloatRange(1.0), help="How long to look.")
def flame(server: str, file: Path, workload: str, seconds: float) -> None:
    """Draw where SERVER spends its time under a workload into FILE, an SVG (with py-spy)."""
    known = contenders()
    if server not in known:
        raise click.BadParameter(f"there are {', '.join(known)}", param_hint="SERVER")
    try:
        record(WORKLOADS[workload], known[server], seconds, file)
    except BenchmarkError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    cli(prog_name="python -m benchmarks")
