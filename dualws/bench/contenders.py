"""A server that can be measured, and dualws itself on each installed backend.

Law: dualws runs in the interpreter that runs the benchmark, as a user starts it. Peers are
described in the same words elsewhere (``benchmarks/`` of a checkout); nothing here knows them.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from dualws import registry

#: Stands in a command for the server's environment's interpreter, and for its port.
PYTHON, PORT = "{python}", "{port}"
HOST = "127.0.0.1"
#: The applications that are served; on the path of every server.
APPS = Path(__file__).resolve().parent / "apps"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A server.

    :param name: its name on the command line
    :param title: what it is, in a line
    :param command: how it is started; runs in a temporary folder
    :param requirements: what its environment holds; empty: this interpreter is used
    :param path: path of its echo
    :param raw: echoes bytes, without websockets
    :param shown: distributions whose versions are reported
    :param apps: folders that are on the path beside ``APPS``
    """

    name: str
    title: str
    command: tuple[str, ...]
    requirements: tuple[str, ...] = ()
    path: str = "/echo/"
    raw: bool = False
    shown: tuple[str, ...] = ()
    apps: tuple[Path, ...] = ()

    @property
    def ours(self) -> bool:
        """Whether it is dualws."""
        return not self.requirements


#: Path of a view -> what its style is called.
_STYLES = {"/echo/": "a blocking view", "/async/": "an async view", "/events/": "an event view"}
_LIBRARIES = {"gevent": ("gevent",), "tornado": ("tornado", "uvloop")}


def _dualws(backend: str, path: str = "/echo/") -> Contender:
    serve = (PYTHON, "-m", "dualws.serving.cli", "serve", "dualws_site.wsgi")
    style = "" if path == "/echo/" else "-" + path.strip("/")
    return Contender(
        name=f"dualws-{backend}{style}",
        title=f"dualws on {backend}: {_STYLES[path]} behind session and auth middleware",
        command=(*serve, "--backend", backend, "--bind", f"{HOST}:{PORT}"),
        path=path,
        shown=("dualws", "Django", *_LIBRARIES[backend]),
    )


def ours() -> dict[str, Contender]:
    """dualws on each backend that is installed, in each style of a view, by name."""
    installed = [backend for backend in _LIBRARIES if backend in registry.names()]
    return {
        contender.name: contender
        for contender in (_dualws(backend, path) for path in _STYLES for backend in installed)
    }
