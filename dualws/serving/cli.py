"""The command ``dualws``.

Law: *the command line imports nothing that a backend would have to patch*, and one
broken command does not break the others. So each command's module is imported only
when that command runs. A ``ConfigurationError`` becomes one message and exit code 2.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence

import click

from dualws import __version__
from dualws.errors import ConfigurationError

#: name -> where the command is, and its line in the help
_COMMANDS = {
    "serve": ("dualws.serving.serve:serve", "Serve a WSGI application, websockets included."),
    "backends": ("dualws.serving.backends:backends", "List the backends and how to get them."),
    "bench": ("dualws.bench.command:bench", "Measure this machine: messages, latency, memory."),
    "demo": ("dualws.demo.command:demo", "Open a small chat that shows what dualws does."),
    "conformance": (
        "dualws_conformance.command:conformance",
        "Prove that a backend does what dualws asks of it.",
    ),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
        try:
            command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            if error.name is None or not module.startswith(error.name):
                raise
            raise ConfigurationError(
                f"This installation lacks the part {module!r} that 'dualws {cmd_name}' runs. "
                f"Install it again: pip install --force-reinstall dualws"
            ) from error
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}:{attribute} is not a click command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click, with the nearest command when there is none of the name."""
        near = difflib.get_close_matches(args[0], _COMMANDS, n=1)
        if near and args[0] not in _COMMANDS:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dualws", message="%(prog)s %(version)s")
def cli() -> None:
    """Websockets inside Django, on gevent or on Tornado."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the command; ends the process.

    :param arguments: default ``sys.argv[1:]``
    """
    try:
        cli.main(None if arguments is None else list(arguments), prog_name="dualws")
    except ConfigurationError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
