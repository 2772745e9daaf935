"""``dualws serve``: a WSGI application in one process, or in several.

Law: *choose, prepare, import, listen, run*, in that order. Up to ``prepare`` only this
package's own small modules are imported. With several processes each of them does so
(:mod:`dualws.serving.workers`).
"""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import Any

import click

from dualws import bootstrap
from dualws.errors import ConfigurationError
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
@click.option(
    "--config",
    "file",
    metavar="FILE",
    type=click.Path(),
    help="Configuration file of gunicorn, which runs the workers: a Python file with its settings "
    "(timeout, max_requests, pidfile, hooks ...). Serves with workers, 1 by default.",
)
@config_options
def serve(
    application: str, backend: str | None, chdir: str | None, file: str | None, **options: Any
) -> None:
    """Serve the WSGI application MODULE:NAME; NAME is 'application' by default.

    Every option but --backend, --chdir and --config is also a setting: --ping-interval is
    DUALWS_PING_INTERVAL. An option counts before the setting.
    """
    folder = os.getcwd()
    if chdir is not None:
        os.chdir(chdir)
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    if options["workers"] or file is not None:
        _serve_with_workers(application, backend, options, file, folder)
        return
    choice = bootstrap.choose(backend, application)
    bootstrap.announce(choice)
    prepared = bootstrap.prepare(choice.name)
    _run(prepared, application, options, folder)


def _serve_with_workers(
    application: str, backend: str | None, options: dict[str, Any], file: str | None, folder: str
) -> None:
    from dualws import __version__

    try:
        from dualws.serving import workers
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "gunicorn":
            raise
        raise ConfigurationError(
            "Several workers need gunicorn, which is not installed: pip install gunicorn"
        ) from error

    def announce(where: str, name: str, count: int) -> None:
        click.echo(
            f"dualws {__version__}: {application} on {where} "
            f"({name}, {count} worker{'s' * (count != 1)}), Ctrl-C stops"
        )
        sys.stdout.flush()

    workers.serve(application, backend, options, file, folder, announce)


def _run(backend: Any, name: str, options: dict[str, Any], folder: str) -> None:
    """Everything after the preparation; what it imports may need patched modules."""
    import signal

    from dualws import conf, heap
    from dualws.serving import inherited, load, run

    application = load.load_application(name)
    load.check_urls()
    config = conf.config_from_django(options)
    if config.workers and options["workers"] is None:
        from dualws.serving import workers

        workers.again(config.workers, folder)
    # As under other servers: the sockets of the systemd unit are its addresses.
    units = inherited.from_systemd(os.environ)
    if units:
        config = dataclasses.replace(config, bind=units)
    run.show_logs()
    endings = [signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        # The terminal is closed, and nobody has said (with nohup) that this means nothing.
        endings.append(signal.SIGHUP)
    heap.freeze()
    run.serve(
        backend,
        application,
        config,
        lambda server: click.echo(run.banner(server, name)),
        stop_signals=(signal.SIGINT,),
        drain_signals=endings,
    )
