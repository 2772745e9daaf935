"""``manage.py superserver``: runserver, with websockets, on the project's backend.

Law: *whoever knows runserver knows this.* The same address rules, checks, static files,
request lines and messages: this is Django's own command with another server beneath.
Django is imported when a command runs, so this process cannot be patched any more: it
supervises a child that is prepared first (``dualws.serving.dev``).
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.staticfiles.management.commands.runserver import Command as RunserverCommand
from django.core.management.base import CommandError
from django.db import connections

from dualws import bootstrap, conf
from dualws.contract import Server
from dualws.errors import AddressUnavailable, ConfigurationError
from dualws.serving import dev, run, supervise


class Command(RunserverCommand):
    help = "Starts a development server with websockets, and serves static files."

    # The child checks, inside what it reloads: an error must not end the parent.
    requires_system_checks: list[str] = []

    # What the inherited ``handle`` makes of the address.
    addr: str
    port: str
    use_ipv6: bool
    _raw_ipv6: bool

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("addrport", nargs="?", help="Port, or address:port. Default: 8000")
        parser.add_argument(
            "--backend",
            help="Concurrency model. Default: the environment variable DUALWS_BACKEND, then the "
            "setting DUALWS_BACKEND, then gevent",
        )
        parser.add_argument(
            "--ipv6", "-6", action="store_true", dest="use_ipv6", help="Use an IPv6 address"
        )
        parser.add_argument(
            "--noreload",
            action="store_false",
            dest="use_reloader",
            help="Do not start again when code changes",
        )
        parser.add_argument(
            "--nostatic",
            action="store_false",
            dest="use_static_handler",
            help="Do not serve static files",
        )
        parser.add_argument(
            "--insecure",
            action="store_true",
            dest="insecure_serving",
            help="Serve static files even if DEBUG is False",
        )
        parser.add_argument("--skip-checks", action="store_true", help="Skip system checks")

    def run(self, **options: Any) -> None:
        """Supervise, or serve when this process is the child."""
        try:
            choice = bootstrap.choose_without_settings(options["backend"])
            if choice is None:
                named = getattr(settings, "DUALWS_BACKEND", None)
                choice = bootstrap.choose_from_settings(named)
        except ConfigurationError as error:
            raise CommandError(str(error)) from error
        child = dev.current()
        if child is None:
            bootstrap.announce(choice)
            if options["use_reloader"]:
                sys.exit(supervise.supervise(choice.name))
            supervise.replace(choice.name)
        elif child.backend.name != choice.name:
            # The settings name another one since the parent read them.
            try:
                dev.switch(child, choice.name)
            except ConfigurationError as error:
                raise CommandError(str(error)) from error
        if options["use_reloader"]:
            dev.run_reloading(lambda on_made: self.inner_run(on_made, **options))
        self.inner_run(None, **options)

    def inner_run(self, on_made: Callable[[Server], None] | None, **options: Any) -> None:
        """Check the project, then serve it until the server is stopped.

        :param on_made: is given the server; None when the main thread serves and signals
            stop it
        """
        if not options["skip_checks"]:
            self.stdout.write("Performing system checks...\n\n")
            self.check(display_num_errors=True)
        self.check_migrations()
        for connection in connections.all(initialized_only=True):
            connection.close()
        backend = bootstrap.prepared()
        assert backend is not None
        options["use_static_handler"] &= apps.is_installed("django.contrib.staticfiles")
        handler = self.get_handler(**options)
        host = f"[{self.addr}]" if self._raw_ipv6 else self.addr
        config = conf.config_from_django(
            {
                "bind": (f"{host}:{self.port}",),
                "access_log": True,
                "access_log_format": "django",
            }
        )
        # First: what has a handler gets no other one.
        _log_requests_as_runserver()
        run.show_logs()
        try:
            run.serve(
                backend,
                handler,
                config,
                self.announce,
                stop_signals=() if on_made else (signal.SIGINT, signal.SIGTERM),
                family=socket.AF_INET6 if self.use_ipv6 else socket.AF_INET,
                on_made=on_made,
            )
        except AddressUnavailable as error:
            self.stderr.write(f"Error: {error}")
            self.stderr.flush()
            # This may be a thread, which could end only itself.
            os._exit(1)

    def announce(self, server: Server) -> None:
        """Say where the server listens, in runserver's words, and what carries it."""
        port = server.sockets[0].getsockname()[1]
        self.protocol = run.scheme_of(server)
        self.on_bind(port)
        carrier = run.carried_by(type(server.backend))
        self.stdout.write(f"Backend: {carrier}. In production: dualws serve {_wsgi_module()}")
        self.stdout.flush()


class _ToRunserverLog(logging.Handler):
    """Hands request lines to the logger that runserver writes them to, with its colours."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger("django.server").handle(record)


def _log_requests_as_runserver() -> None:
    logger = logging.getLogger("dualws.access")
    logger.addHandler(_ToRunserverLog())
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _wsgi_module() -> str:
    """The argument that ``dualws serve`` would get."""
    path: str | None = settings.WSGI_APPLICATION
    if not path:
        return "MODULE"
    module, _, attribute = path.rpartition(".")
    return module if attribute == "application" else f"{module}:{attribute}"
