"""A server that can be measured, and dualws itself on each installed backend.

Law: dualws runs in the interpreter that runs the benchmark, as a user starts it. Peers are
described in the same words elsewhere (``benchmarks/`` of a checkout); nothing here knows them.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from dualws import registry
from dualws.bench.workloads import Workload

#: Stands in a command for the server's environment's interpreter, and for its port.
PYTHON, PORT = "{python}", "{port}"
HOST = "127.0.0.1"
#: The applications that are served; on the path of every server.
APPS = Path(__file__).resolve().parent / "apps"
#: What servers of websockets can do, with and without permessage-deflate.
PLAIN = frozenset({"echo", "fan-out", "idle"})
WEBSOCKETS = PLAIN | {"deflate"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A server.

    :param name: its name on the command line
    :param ours: it is dualws
    :param title: what it is, in a line
    :param command: how it is started; runs in a temporary folder
    :param requirements: what its environment holds; empty: this interpreter is used
    :param can: workloads that it can take part in, see ``Workload.need``
    :param prefix: what its paths begin with
    :param settings: settings module of its Django site; empty: it has none
    :param raw: echoes bytes, without websockets
    :param shown: distributions whose versions are reported
    :param apps: folders that are on the path beside ``APPS``
    """

    name: str
    title: str
    ours: bool = False
    command: tuple[str, ...]
    requirements: tuple[str, ...] = ()
    can: frozenset[str] = WEBSOCKETS
    prefix: str = "/"
    settings: str = ""
    raw: bool = False
    shown: tuple[str, ...] = ()
    apps: tuple[Path, ...] = ()

    def path_of(self, workload: Workload) -> str:
        """What is asked for under *workload*."""
        if workload.kind == "http":
            return "/http/"
        # Where nobody could be signed in, the echo's handshake is all there is.
        kind = "echo" if workload.kind == "idle" and not self.settings else workload.kind
        return self.prefix + {"idle": "user"}.get(kind, kind) + "/"


#: Style of a view -> what its paths begin with, and what it is called.
_STYLES = {
    "": ("/", "a blocking view"),
    "async": ("/async/", "an async view"),
    "events": ("/events/", "an event view"),
}
_LIBRARIES = {"gevent": ("gevent",), "tornado": ("tornado", "uvloop")}


def _dualws(backend: str, style: str) -> Contender:
    serve = (PYTHON, "-m", "dualws.serving.cli", "serve", "dualws_site.wsgi")
    prefix, words = _STYLES[style]
    return Contender(
        name=f"dualws-{backend}" + (f"-{style}" if style else ""),
        ours=True,
        title=f"dualws on {backend}: {words} behind session and auth middleware",
        command=(*serve, "--backend", backend, "--bind", f"{HOST}:{PORT}"),
        # HTTP has no styles.
        can=WEBSOCKETS if style else WEBSOCKETS | {"http"},
        prefix=prefix,
        settings="dualws_site.settings",
        shown=("dualws", "Django", *_LIBRARIES[backend]),
    )


def ours() -> dict[str, Contender]:
    """dualws on each backend that is installed, in each style of a view, by name."""
    installed = [backend for backend in _LIBRARIES if backend in registry.names()]
    return {
        contender.name: contender
        for contender in (_dualws(backend, style) for style in _STYLES for backend in installed)
    }
