"""``python -m dualws_conformance``: the same as ``dualws conformance``."""

from __future__ import annotations

import sys

import click

from dualws.errors import ConfigurationError
from dualws_conformance.command import conformance


def main() -> None:
    """Run the command and end the process."""
    try:
        conformance.main(prog_name="python -m dualws_conformance")
    except ConfigurationError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
