"""The servers that are compared. Another server is another entry here, and a file under apps/.

Law: dualws runs in the interpreter that runs the benchmark, as a user starts it; every peer
in an environment of its own, because some change others by being installed.
"""

from __future__ import annotations

import dataclasses

#: Stands in a command for the server's environment's interpreter, and for its port.
PYTHON, PORT = "{python}", "{port}"
HOST = "127.0.0.1"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A server.

    :param name: its name on the command line
    :param title: what it is, in a line
    :param command: how it is started; runs in a temporary folder, with apps/ on the path
    :param requirements: what its environment holds; empty: this interpreter is used
    :param path: path of its echo
    :param raw: echoes bytes, without websockets
    :param shown: distributions whose versions are reported
    """

    name: str
    title: str
    command: tuple[str, ...]
    requirements: tuple[str, ...] = ()
    path: str = "/echo/"
    raw: bool = False
    shown: tuple[str, ...] = ()

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


def _script(name: str, title: str, script: str, *needs: str, raw: bool = False) -> Contender:
    file, *words = script.split()
    return Contender(
        name=name,
        title=title,
        command=(PYTHON, "-m", file, PORT, *words),
        requirements=needs,
        raw=raw,
        shown=tuple(need.partition("==")[0] for need in needs),
    )


_UVICORN = (
    *(PYTHON, "-m", "uvicorn", "--host", HOST, "--port", PORT, "--ws", "websockets-sansio"),
    *("--log-level", "warning", "--no-access-log"),
)

CONTENDERS = {
    contender.name: contender
    for contender in (
        *(_dualws(backend, path) for path in _STYLES for backend in _LIBRARIES),
        _script(
            "gevent-websocket",
            "gevent-websocket on bare pywsgi",
            "gevent_websocket_echo",
            *("gevent-websocket==0.10.1", "gevent"),
        ),
        _script("tornado", "Tornado's WebSocketHandler", "tornado_echo", "tornado"),
        _script(
            "tornado-uvloop",
            "Tornado's WebSocketHandler on uvloop",
            "tornado_echo uvloop",
            *("tornado", "uvloop"),
        ),
        Contender(
            name="channels-uvicorn",
            title="Channels' AsyncWebsocketConsumer behind AuthMiddlewareStack on uvicorn",
            command=(*_UVICORN, "channels_site.asgi:application"),
            requirements=("channels", "uvicorn[standard]", "Django"),
            shown=("channels", "uvicorn", "Django", "uvloop", "websockets"),
        ),
        _script("websockets", "websockets on asyncio", "websockets_echo", "websockets"),
        _script("aiohttp", "aiohttp", "aiohttp_echo", "aiohttp"),
        _script("picows", "picows on uvloop", "picows_echo", "picows", "uvloop"),
        _script("raw-gevent", "bytes echoed by greenlets: gevent's limit", "raw_gevent", "gevent",
                raw=True),
        _script("raw-uvloop", "bytes echoed by a protocol on uvloop: the loop's limit",
                "raw_uvloop", "uvloop", raw=True),
    )
}  # fmt: skip

#: Taken when none are named.
DEFAULT = (
    "dualws-gevent",
    "dualws-tornado",
    "dualws-tornado-async",
    "gevent-websocket",
    "tornado",
    "channels-uvicorn",
    "raw-gevent",
)
