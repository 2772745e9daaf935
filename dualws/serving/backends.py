"""``dualws backends``: what is installed, what is missing, and how to get it."""

from __future__ import annotations

import sys

import click

from dualws import registry


@click.command()
def backends() -> None:
    """List the backends: name, state, version, and the cure when one cannot be used."""
    found = registry.describe()
    if sys.stdout.isatty():
        _table(found)
        return
    for item in found:
        about = item.summary if item.state == "installed" else item.cure
        click.echo("\t".join((item.name, item.state, item.version, " ".join(about.split()))))


def _table(found: list[registry.Description]) -> None:
    # Only here: rich is slow to import, and scripts that read the plain list never need it.
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("backend", "state", "version", "about"):
        table.add_column(title, overflow="fold")
    for item in found:
        usable = item.state == "installed"
        colour = "green" if usable else "yellow"
        about = item.summary if usable else item.cure
        table.add_row(item.name, f"[{colour}]{item.state}[/]", item.version, escape(about))
    Console().print(table)
