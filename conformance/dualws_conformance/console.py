"""The run in a terminal: a progress bar, the matrix, the failures."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from dualws_conformance.model import PLAIN, STYLES
from dualws_conformance.reports.data import columns, rows
from dualws_conformance.runner import Result

#: Lines of a transcript that are shown; reports hold all of it.
_LINES = 12
#: Failures that are shown one by one.
_SHOWN = 40


def progress(console: Console) -> Progress:
    """A progress bar; silent where the output is no terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[failed]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def matrix(results: Sequence[Result]) -> Table:
    """Groups of behaviour and backends by styles: passed of all, and the time."""
    table = Table(
        title="dualws conformance",
        title_justify="left",
        box=box.SIMPLE,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    wanted = columns(results)
    backends = list(dict.fromkeys(backend for backend, _ in wanted))
    styles = [style for style in (*PLAIN, *STYLES) if any(style == one for _, one in wanted)]
    table.add_column("group", no_wrap=True)
    table.add_column("backend", no_wrap=True)
    for style in (*styles, "seconds"):
        table.add_column(style, justify="right", no_wrap=True)

    def add(name: str, part: Sequence[Result]) -> None:
        for number, backend in enumerate(backends):
            own = [result for result in part if result.backend == backend]
            cells = [_cell([result for result in own if result.style == style]) for style in styles]
            seconds = f"{sum(result.seconds for result in own):.1f}"
            table.add_row("" if number else name, backend, *cells, seconds)

    for group in rows(results):
        add(group, [result for result in results if result.case.group == group])
    table.add_section()
    add("all", results)
    return table


def _cell(results: Sequence[Result]) -> Text:
    if not results:
        return Text("")
    good = sum(result.passed for result in results)
    whole = good == len(results)
    return Text(f"{good}" if whole else f"{good}/{len(results)}", "green" if whole else "bold red")


def failures(results: Sequence[Result]) -> list[Text]:
    """Each failure in a paragraph, with the bytes."""
    found = [result for result in results if not result.passed]
    texts = []
    for result in found[:_SHOWN]:
        text = Text()
        text.append(f"\n{result.case.id}", "bold red")
        text.append(f" on {result.backend}, {result.style} ({result.case.section})\n")
        text.append(f"  {result.case.title}\n")
        text.append(f"  {result.failure}\n", "bold")
        for line in result.transcript[:_LINES]:
            text.append(f"    {line[:300]}\n", "dim")
        if len(result.transcript) > _LINES:
            text.append(f"    … {len(result.transcript) - _LINES} more, see the reports\n", "dim")
        texts.append(text)
    if len(found) > _SHOWN:
        texts.append(Text(f"… and {len(found) - _SHOWN} more failures, see the reports"))
    return texts
