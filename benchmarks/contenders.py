"""The peers. Another server is another entry here, and a file under apps/.

Law: every peer runs in an environment of its own, because some change others by being installed.
"""

from __future__ import annotations

from pathlib import Path

from dualws.bench.contenders import HOST, PORT, PYTHON, Contender, ours

_APPS = (Path(__file__).resolve().parent / "apps",)


def _script(name: str, title: str, script: str, *needs: str, raw: bool = False) -> Contender:
    file, *words = script.split()
    return Contender(
        name=name,
        title=title,
        command=(PYTHON, "-m", file, PORT, *words),
        requirements=needs,
        raw=raw,
        shown=tuple(need.partition("==")[0] for need in needs),
        apps=_APPS,
    )


_UVICORN = (
    *(PYTHON, "-m", "uvicorn", "--host", HOST, "--port", PORT, "--ws", "websockets-sansio"),
    *("--log-level", "warning", "--no-access-log"),
)

CONTENDERS = {
    contender.name: contender
    for contender in (
        *ours().values(),
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
            apps=_APPS,
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
