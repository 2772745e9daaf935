"""``dualws serve``: a WSGI application in one process.

Law: *choose, prepare, import, listen, run*, in that order. Up to ``prepare`` only this
package's own small modules are imported.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from dualws import bootstrap
from dualws.serving.options import backend_option, config_options


@click.command()
@click.argument("application", metavar="MODULE[:NAME]")
@backend_option
@click.option(
    "--chdir",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False),
    help="Change to this folder first; the application is imported from there.",
)
@config_options
def serve(application: str, backend: str | None, chdir: str | None, **options: Any) -> None:
    """Serve the WSGI application MODULE:NAME; NAME is 'application' by default.

    Every option but --backend and --chdir is also a setting: --ping-interval is
    DUALWS_PING_INTERVAL. An option counts before the setting.
    """
    if chdir is not None:
        os.chdir(chdir)
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    choice = bootstrap.choose(backend, application)
    bootstrap.announce(choice)
    prepared = bootstrap.prepare(choice.name)
    _run(prepared, application, options)


def _run(backend: Any, name: str, options: dict[str, Any]) -> None:
    """Everything after the preparation; what it imports may need patched modules."""
    import signal

    from dualws import conf
    from dualws.serving import inherited, load, run

    application = load.load_application(name)
    # As under other servers: the sockets of the systemd unit are its addresses.
    options["bind"] = inherited.from_systemd(os.environ) or options["bind"]
    config = conf.config_from_django(options)
    run.show_logs()
    run.serve(
        backend,
        application,
        config,
        lambda server: click.echo(run.banner(server, name)),
        stop_signals=(signal.SIGINT,),
        drain_signals=(signal.SIGTERM,),
    )
