"""Run the Autobahn test suite against dualws's backends, side by side.

::

    python scripts/autobahn_run.py                 all cases
    python scripts/autobahn_run.py --ci            those whose compressed messages are under 16 KiB

Needs CPython 2.7 (pyenv has one, or set DUALWS_PYTHON27) and virtualenv 20.15.1, the last
that makes environments for it. Without CPython 2.7 it says so, and the conformance kit's own
websocket cases stand in. Exit code 0 when every case is OK, the three informational ones aside.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import autobahn_python27 as python27
import autobahn_suite as suite
import click

from dualws_conformance.live import LiveServer

ROOT = Path(__file__).resolve().parent.parent

#: The suite sends up to 16 MiB in one message, and takes its time to read.
OPTIONS = (
    *("--max-message-size", "20000000", "--send-buffer-size", "1048576"),
    *("--send-timeout", "30", "--close-timeout", "5"),
)
#: What stands in without CPython 2.7.
GROUPS = (
    *("framing", "masking", "fragmentation", "utf8", "control", "closing", "closecodes"),
    *("compression", "limits", "flow"),
)


@click.command()
@click.option("--backend", "backends", multiple=True, default=("gevent", "tornado"))
@click.option("--ci", is_flag=True, help="Without compressed messages of 16 KiB and more.")
@click.option("--case", "chosen", multiple=True, help="Only this case; may be repeated.")
@click.option("--path", default="/blocking/echo/", help="The echo's address.")
@click.option("--limit", type=float, help="Minutes. Default: 8 with --ci, else 60.")
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    default=ROOT / ".tox" / "autobahn-suite",
    help="Folder that keeps the environment from one run to the next, and the reports.",
)
def main(
    backends: tuple[str, ...],
    ci: bool,
    chosen: tuple[str, ...],
    path: str,
    limit: float | None,
    cache: Path,
) -> None:
    """Run the suite and judge every case."""
    python = python27.find()
    if python is None:
        if named := os.environ.get("DUALWS_PYTHON27"):
            click.echo(f"DUALWS_PYTHON27 names {named}, which is no CPython 2.7 that runs.")
        click.echo(
            "There is no CPython 2.7, on which alone the Autobahn test suite runs: get one with "
            "'pyenv install 2.7.18', or name it in DUALWS_PYTHON27. The conformance kit's own "
            "websocket cases stand in."
        )
        sys.exit(_stand_in(backends))
    click.echo(f"Autobahn on {python}; the first run builds its environment, which takes minutes")
    binaries = python27.environment(python, cache / "environment")
    names = list(chosen) or suite.cases(binaries, 16 * 1024 if ci else None)
    seconds = 60 * (limit if limit is not None else 8 if ci else 60)
    servers: list[LiveServer] = []
    runs: list[suite.Run] = []
    begin = time.monotonic()
    try:
        for backend in backends:
            server = LiveServer(backend, OPTIONS)
            servers.append(server)
            url = f"ws://{server.netloc}{path}"
            folder = cache / "reports" / backend
            runs.append(suite.Run(binaries, backend, url, names, folder, seconds))
        _watch(runs, servers)
        failed = sum(_judge(run, len(names), time.monotonic() - begin) for run in runs)
    finally:
        for run in runs:
            run.stop()
        for server in servers:
            server.stop()
    click.echo(f"Reports: {cache / 'reports'}")
    sys.exit(1 if failed else 0)


def _watch(runs: list[suite.Run], servers: list[LiveServer]) -> None:
    told = time.monotonic()
    while any(run.running for run in runs):
        for server in servers:
            if not server.running:
                click.echo(f"The {server.backend} server has ended:\n{server.errors[-4000:]}")
                return
        if time.monotonic() - told > 30:
            told = time.monotonic()
            click.echo(", ".join(f"{run.agent} is at {run.last} ({run.begun})" for run in runs))
        time.sleep(0.2)


def _judge(run: suite.Run, count: int, seconds: float) -> int:
    verdicts = run.verdicts()
    for verdict in verdicts:
        click.echo(f"{run.agent}: {verdict.case} {verdict.problem}")
    bad = len({verdict.case for verdict in verdicts})
    state = f"{bad} of {count} cases are not OK" if bad else f"all {count} cases OK"
    click.echo(f"{run.agent}: {state} ({seconds:.0f} s)")
    return bad


def _stand_in(backends: tuple[str, ...]) -> int:
    words = [word for name in backends for word in ("--backend", name)]
    words += [word for name in GROUPS for word in ("--group", name)]
    sys.stdout.flush()
    return subprocess.run(
        [sys.executable, "-m", "dualws_conformance", *words], check=False
    ).returncode


if __name__ == "__main__":
    main()
