"""``dualws demo``: the chat, from nothing to an open browser, and nothing left afterwards.

Law: *choose, prepare, import, serve*, in that order, as in ``dualws serve``: Django is
imported only when the process is ready for it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from typing import TYPE_CHECKING

import click

from dualws import bootstrap
from dualws.errors import AddressUnavailable
from dualws.serving.options import backend_option

if TYPE_CHECKING:
    from dualws.contract import Backend, Server

#: where the demo listens when nobody says anything; when the port is taken, a free one will do
USUAL = "127.0.0.1:8000"
ANY_PORT = "127.0.0.1:0"


@click.command()
@backend_option
@click.option("--bind", metavar="HOST:PORT", help=f"Address to listen on; default {USUAL}.")
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
def demo(backend: str | None, bind: str | None, no_browser: bool) -> None:
    """Open a chat with rooms, two people ready made, that runs until Ctrl-C.

    Its data lies in a temporary folder that is removed at the end. With
    --bind 0.0.0.0:8000 a phone in the same network can take part.
    """
    # The settings are not asked: those of the demo name no backend, other ones do not concern it.
    choice = bootstrap.choose_without_settings(backend) or bootstrap.default()
    bootstrap.announce(choice)
    prepared = bootstrap.prepare(choice.name)
    os.environ["DJANGO_SETTINGS_MODULE"] = "dualws.demo.settings"
    with tempfile.TemporaryDirectory(prefix="dualws-demo-", ignore_cleanup_errors=True) as folder:
        os.environ["DUALWS_DEMO_FOLDER"] = folder
        if bind is not None and not _is_local(bind):
            os.environ["DUALWS_DEMO_HOSTS"] = "*"
        _fill()
        if bind is not None:
            _serve(prepared, bind, browser=not no_browser)
            return
        try:
            _serve(prepared, USUAL, browser=not no_browser)
        except AddressUnavailable:
            _serve(prepared, ANY_PORT, browser=not no_browser)


def _is_local(bind: str) -> bool:
    """Whether only this machine can reach *bind*."""
    from dualws.serving import listen

    if bind.startswith(("unix:", "fd:")):
        return True
    host, _ = listen.parse(bind)
    return host in ("localhost", "::1") or host.startswith("127.")


def _fill() -> None:
    """Make the tables, the people and the rooms."""
    import django
    from django.core.management import call_command
    from django.db import connections

    django.setup()
    call_command("migrate", verbosity=0)
    from dualws.demo.chat.seed import seed

    seed()
    connections.close_all()


def _serve(backend: type[Backend], bind: str, *, browser: bool) -> None:
    """Serve the demo on *bind* until a signal.

    :raises AddressUnavailable: *bind* cannot be listened on
    """
    import signal

    from dualws import conf
    from dualws.demo.wsgi import application
    from dualws.serving import run

    def on_listening(server: Server) -> None:
        url = _announce(server)
        if browser and url.startswith("http") and _has_display():
            _open_browser(url)

    run.serve(
        backend,
        application,
        conf.config_from_django({"bind": (bind,)}),
        on_listening,
        stop_signals=(signal.SIGINT, signal.SIGTERM),
    )


def _announce(server: Server) -> str:
    """Say where the demo is and who may come in; return its address."""
    from dualws.demo.chat.seed import PASSWORD, PEOPLE
    from dualws.serving import listen, run

    url = listen.describe(server.sockets, run.scheme_of(server))[0]
    people = " or ".join(username for username, _, _ in PEOPLE)
    click.echo(run.banner(server, "demo chat"))
    click.echo(f"  Sign in as {people}, password {PASSWORD}")
    if "//127.0.0.1:" in url:
        other = url.replace("127.0.0.1", "localhost")
        click.echo(f"  To be both at once, open {other} in a second tab")
    return url


def _has_display() -> bool:
    """Whether a browser could be seen: without a display a text browser might take the terminal."""
    return sys.platform == "darwin" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )


def _open_browser(url: str) -> None:
    """Open *url* beside the server: some browsers' starters take seconds to return."""
    import threading
    import webbrowser

    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
