"""Tells what a run showed: a table for people, JSON for programs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from dualws.bench.result import Entry, Run

#: Columns of the table where it does not go to a terminal.
_WIDTH = 100


def show(run: Run) -> None:
    """Print the table of *run* and what one must know to read it."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    work = run.workload
    table = Table(title=f"{work.name}: {work}", title_justify="left")
    table.add_column("server")
    for title in (f"{work.unit}/s", "spread", "CPU µs"):
        table.add_column(title, justify="right")
    table.add_column("KiB each" if work.kind == "idle" else "worst share", justify="right")
    for title in ("p50 ms", "p99 ms", "max ms"):
        table.add_column(title, justify="right")
    for entry in run.entries:
        table.add_row(*_row(entry))
    if run.entries:
        console.print(table)
    _show_ratios(run, console)
    for note in notes(run):
        console.print(note, highlight=False)


def _show_ratios(run: Run, console: Console) -> None:
    ours = [entry for entry in run.entries if entry.contender.ours]
    others = [entry for entry in run.entries if not entry.contender.ours]
    if not ours or not others:
        return
    table = Table(
        title=f"How many times as many {run.workload.unit}: a second (for the same processor time)",
        title_justify="left",
    )
    table.add_column("as")
    for entry in ours:
        table.add_column(entry.contender.name, justify="right")
    for other in others:
        table.add_row(other.contender.name, *(_ratio(mine, other) for mine in ours))
    console.print(table)


def _ratio(mine: Entry, other: Entry) -> str:
    frugal = mine.frugal(other)
    return f"{mine.times(other):.2f}" + ("" if frugal is None else f" ({frugal:.2f})")


def _row(entry: Entry) -> tuple[str, ...]:
    per_message = entry.median(lambda turn: turn.cpu_per_message)
    memory = entry.memory
    share = entry.median(lambda turn: turn.worst_share) or 0.0
    return (
        entry.contender.name,
        f"{entry.rate:,.0f}",
        f"±{entry.spread:.0%}",
        "" if per_message is None else f"{per_message * 1e6:.1f}",
        f"{share:.2f}" if memory is None else f"{memory / 1024:.1f}",
        f"{(entry.median(lambda turn: turn.latencies.p50) or 0) * 1e3:.2f}",
        f"{(entry.median(lambda turn: turn.latencies.p99) or 0) * 1e3:.2f}",
        f"{max(turn.latencies.slowest for turn in entry.turns) * 1e3:.1f}",
    )


def notes(run: Run) -> list[str]:
    """What is to be known beside the figures."""
    found = [f"{name} did not take part: {why}" for name, why in run.failures.items()]
    if not run.pinned:
        found.append("Server and load were not pinned: the system does not offer it.")
    for entry in run.entries:
        name, turns = entry.contender.name, entry.turns
        limited = sum(turn.load_was_limit for turn in turns)
        if limited:
            found.append(
                f"{name}: the load was the limit in {limited} of {len(turns)} rounds "
                "(its core was busy, the server's was not): the server can do more."
            )
    disturbed = sum(turn.disturbed for entry in run.entries for turn in entry.turns)
    if disturbed:
        found.append(
            f"Other processes took over a tenth of a core in {disturbed} of "
            f"{sum(len(entry.turns) for entry in run.entries)} turns: believe the processor time "
            "rather than the rates."
        )
    return found


def as_json(run: Run) -> dict[str, Any]:
    """Everything, as plain data."""
    return {
        "workload": dataclasses.asdict(run.workload),
        "python": run.python,
        "machine": run.machine,
        "pinned": run.pinned,
        "servers": {
            entry.contender.name: {
                "title": entry.contender.title,
                "versions": entry.versions,
                "messages_per_second": entry.rate,
                "spread": entry.spread,
                "cpu_per_message": entry.median(lambda turn: turn.cpu_per_message),
                "memory_per_connection": entry.memory,
                "ratios": {
                    other.contender.name: {
                        "rate": entry.times(other),
                        "cpu": entry.frugal(other),
                    }
                    for other in run.entries
                    if other is not entry
                },
                "turns": [dataclasses.asdict(turn) for turn in entry.turns],
            }
            for entry in run.entries
        },
        "failures": run.failures,
        "notes": notes(run),
    }


def write(runs: Sequence[Run], file: Path) -> None:
    """Write *runs* to *file* as JSON, by the names of their workloads."""
    data = {run.workload.name: as_json(run) for run in runs}
    file.write_text(json.dumps(data, indent=2) + "\n")
