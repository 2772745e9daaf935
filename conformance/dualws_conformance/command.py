"""``dualws conformance``: run the kit on backends and print the matrix.

Law: exit code 0 when every case passed on every backend, 1 when one failed, 2 when the kit
could not run.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from pathlib import Path

import click
from rich.console import Console

from dualws.errors import ConfigurationError
from dualws_conformance import console as screen
from dualws_conformance.live import ServerError
from dualws_conformance.model import GROUPS, select
from dualws_conformance.reports.data import as_json
from dualws_conformance.reports.junit import as_junit
from dualws_conformance.reports.page import as_page
from dualws_conformance.runner import Result, plan, run
from dualws_conformance.tls import Tls

_FILE = click.Path(dir_okay=False, writable=True, path_type=Path)


@click.command()
@click.option(
    "--backend",
    "backends",
    metavar="NAME",
    multiple=True,
    required=True,
    help="Backend to judge; may be repeated. They run side by side.",
)
@click.option(
    "--group",
    "groups",
    multiple=True,
    type=click.Choice(GROUPS),
    metavar="NAME",
    help=f"Only this group of cases; may be repeated. Groups: {', '.join(GROUPS)}.",
)
@click.option("--quick", is_flag=True, help="Hundreds instead of thousands of leak checks.")
@click.option("--tls", is_flag=True, help="Over TLS, with a certificate made for this run.")
@click.option("--json", "json_file", type=_FILE, help="Write all results as JSON.")
@click.option("--junit", "junit_file", type=_FILE, help="Write all results as JUnit XML.")
@click.option("--html", "html_file", type=_FILE, help="Write one page with all results.")
@click.option("--list", "only_list", is_flag=True, help="List the cases and run nothing.")
def conformance(
    backends: tuple[str, ...],
    groups: tuple[str, ...],
    quick: bool,
    tls: bool,
    json_file: Path | None,
    junit_file: Path | None,
    html_file: Path | None,
    only_list: bool,
) -> None:
    """Prove that backends do what dualws asks of them, on live servers.

    Each case names the section of the specification that it proves; a failure is explained
    in a sentence, with the bytes that were sent and received. A slow machine may need
    DUALWS_CONFORMANCE_PATIENCE=3, which scales every time limit.
    """
    cases = select(groups)
    console = Console()
    if only_list:
        for case in cases:
            click.echo(f"{case.id}  [{case.section}]  {case.title}")
        return
    names = list(dict.fromkeys(backends))
    begin = time.monotonic()
    lock = threading.Lock()
    failed = 0
    with screen.progress(console) as bar:
        total = len(plan(cases)) * len(names)
        task = bar.add_task(f"{len(cases)} cases", total=total, failed="")

        def observe(result: Result) -> None:
            nonlocal failed
            with lock:
                failed += not result.passed
                bar.update(task, advance=1, failed=f"{failed} failed" if failed else "")

        try:
            with contextlib.closing(Tls()) if tls else contextlib.nullcontext() as certificate:
                results = run(names, cases, observe, quick=quick, tls=certificate)
        except (ServerError, FileNotFoundError) as error:
            raise ConfigurationError(str(error)) from error
    seconds = time.monotonic() - begin
    for path, make in ((json_file, as_json), (junit_file, as_junit), (html_file, as_page)):
        if path is not None:
            path.write_text(make(results, seconds), encoding="utf-8")
    console.print(screen.matrix(results))
    for text in screen.failures(results):
        console.print(text, soft_wrap=True)
    verdict = f"{failed} of {len(results)} failed" if failed else f"all {len(results)} passed"
    console.print(f"{len(cases)} cases, {verdict}, {seconds:.1f} s")
    sys.exit(1 if failed else 0)
