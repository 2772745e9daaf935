"""The peers. Another server is another entry here, and a file under apps/.

Law: every peer runs in an environment of its own, because some change others by being installed.
"""

from __future__ import annotations

from pathlib import Path

from dualws.bench.contenders import HOST, PLAIN, PORT, PYTHON, WEBSOCKETS, Contender, ours

_APPS = (Path(__file__).resolve().parent / "apps",)
_ADDRESS = f"{HOST}:{PORT}"
#: What an echo of bytes can do, and a server of HTTP alone.
_RAW, _HTTP = frozenset({"echo"}), frozenset({"http"})


def _peer(
    name: str,
    title: str,
    command: str,
    *needs: str,
    can: frozenset[str] = WEBSOCKETS,
    settings: str = "",
    raw: bool = False,
) -> Contender:
    """A peer that ``python -m COMMAND`` starts."""
    return Contender(
        name=name,
        title=title,
        command=(PYTHON, "-m", *command.split()),
        requirements=needs,
        can=can,
        settings=settings,
        raw=raw,
        shown=tuple(need.partition("==")[0].partition("[")[0] for need in needs),
        apps=_APPS,
    )


def _script(
    name: str,
    title: str,
    script: str,
    *needs: str,
    can: frozenset[str] = WEBSOCKETS,
    raw: bool = False,
) -> Contender:
    """A peer that a file under apps/ is, with the port as its first argument."""
    file, _, words = script.partition(" ")
    return _peer(name, title, f"{file} {PORT} {words}", *needs, can=can, raw=raw)


def _raw(name: str, title: str, script: str, *needs: str) -> Contender:
    return _script(name, title, script, *needs, can=_RAW, raw=True)


# Pings, after 20 seconds by default, would come to connections that are to be silent.
_UVICORN = (
    f"uvicorn --host {HOST} --port {PORT} --log-level warning --no-access-log "
    "--ws-max-size 67108864 --ws-ping-interval 3600"
)
_DAPHNE = f"daphne -b {HOST} -p {PORT} -v 0 --ping-interval 3600"
_GUNICORN = f"gunicorn --bind {_ADDRESS} --workers 1 --log-level warning --keep-alive 60"
_GRANIAN = f"granian --host {HOST} --port {PORT} --workers 1 --no-access-log --log-level warning"
_UVICORN_NEEDS = ("uvicorn[standard]", "wsproto")
_CHANNELS = ("channels", "Django")
_ASGI = "channels_site.asgi:application"


def _channels(server: str, title: str, command: str, *needs: str) -> Contender:
    return _peer(
        f"channels-{server}",
        f"Channels' AsyncWebsocketConsumer behind AuthMiddlewareStack on {title}",
        f"{command} {_ASGI}",
        *_CHANNELS,
        *needs,
        can=PLAIN if server in ("daphne", "granian") else WEBSOCKETS,
        settings="channels_site.settings",
    )


def _http(name: str, title: str, command: str, *needs: str) -> Contender:
    return _peer(name, title, command, "Django", *needs, can=_HTTP, settings="http_site.settings")


_WEBSOCKETS = (
    _script(
        "gevent-websocket",
        "gevent-websocket on bare pywsgi",
        "gevent_websocket_echo",
        *("gevent-websocket==0.10.1", "gevent"),
        can=PLAIN,
    ),
    _script("ws4py", "ws4py's own server on gevent", "ws4py_echo", "ws4py", "gevent", can=PLAIN),
    _script("tornado", "Tornado's WebSocketHandler", "tornado_echo", "tornado"),
    _script(
        "tornado-uvloop",
        "Tornado's WebSocketHandler on uvloop",
        "tornado_echo uvloop",
        *("tornado", "uvloop"),
    ),
    _script("websockets", "websockets on asyncio", "websockets_echo", "websockets"),
    _script(
        "websockets-threads", "websockets, a thread each", "websockets_threads_echo", "websockets"
    ),
    _script("aiohttp", "aiohttp", "aiohttp_echo", "aiohttp"),
    _script("picows", "picows on uvloop", "picows_echo", "picows", "uvloop", can=PLAIN),
    _peer(
        "uvicorn",
        "uvicorn's websockets-sansio, a bare ASGI application",
        f"{_UVICORN} --ws websockets-sansio asgi_echo:application",
        *_UVICORN_NEEDS,
    ),
    _peer(
        "uvicorn-wsproto",
        "uvicorn's wsproto, a bare ASGI application",
        f"{_UVICORN} --ws wsproto asgi_echo:application",
        *_UVICORN_NEEDS,
    ),
    _channels(
        "uvicorn", "uvicorn", f"{_UVICORN} --ws websockets-sansio", "uvicorn[standard]"
    ),
    _channels(
        "uvicorn-wsproto", "uvicorn (wsproto)", f"{_UVICORN} --ws wsproto", *_UVICORN_NEEDS
    ),
    _channels("daphne", "Daphne", _DAPHNE, "daphne"),
    _channels("granian", "granian", f"{_GRANIAN} --interface asginl", "granian"),
    _peer(
        "simple-websocket-gevent",
        "simple-websocket on gunicorn's gevent worker",
        f"{_GUNICORN} -k gevent --worker-connections 12000 simple_websocket_echo:application",
        *("simple-websocket", "gunicorn", "gevent", "packaging"),
    ),
    _peer(
        "simple-websocket-gthread",
        "simple-websocket on gunicorn's gthread worker",
        f"{_GUNICORN} -k gthread --threads 6000 --worker-connections 12000 "
        "simple_websocket_echo:application",
        *("simple-websocket", "gunicorn"),
    ),
)  # fmt: skip

_SERVERS = (
    _http(
        "gunicorn-gevent",
        "a trivial view on gunicorn's gevent worker",
        f"{_GUNICORN} -k gevent http_site.wsgi",
        *("gunicorn", "gevent", "packaging"),
    ),
    _http(
        "gunicorn-gthread",
        "a trivial view on gunicorn's gthread worker",
        f"{_GUNICORN} -k gthread --threads 16 http_site.wsgi",
        "gunicorn",
    ),
    _http(
        "waitress",
        "a trivial view on waitress",
        f"waitress --listen={_ADDRESS} --threads=16 http_site.wsgi:application",
        "waitress",
    ),
    _http(
        "granian-wsgi",
        "a trivial view on granian over WSGI",
        f"{_GRANIAN} --interface wsgi http_site.wsgi:application",
        "granian",
    ),
    _http(
        "uvicorn-asgi",
        "a trivial view on uvicorn over ASGI",
        f"{_UVICORN} http_site.asgi:application",
        "uvicorn[standard]",
    ),
)

_LIMITS = (
    _raw("raw-gevent", "bytes echoed by greenlets: gevent's limit", "raw_gevent", "gevent"),
    _raw("raw-uvloop", "bytes echoed by a protocol on uvloop", "raw_protocol uvloop", "uvloop"),
    _raw("raw-asyncio", "bytes echoed by a protocol on asyncio's own loop", "raw_protocol"),
    _raw("raw-threads", "bytes echoed by a thread for each connection", "raw_threads"),
    _raw("raw-iostream", "bytes echoed by Tornado's IOStream", "raw_iostream", "tornado"),
)


def contenders() -> dict[str, Contender]:
    """dualws and its peers, by name."""
    everybody = (*ours().values(), *_WEBSOCKETS, *_SERVERS, *_LIMITS)
    return {contender.name: contender for contender in everybody}


#: Taken when none are named; a workload takes those of them that can do it.
DEFAULT = (
    *("dualws-gevent", "dualws-tornado", "dualws-tornado-async", "gevent-websocket", "tornado"),
    *("channels-uvicorn", "gunicorn-gevent", "gunicorn-gthread", "waitress", "raw-gevent"),
)
