"""What every page shows."""

from __future__ import annotations

from django.http import HttpRequest

from dualws.contract import ENVIRON_SERVER, Server


def backend(request: HttpRequest) -> dict[str, str]:
    """``carrier``: the backend that carries this request, for example "gevent 26.9.0".

    Every request that a dualws server serves has its server in the environ; under another
    server (the test client, ``runserver``) there is none.
    """
    server: Server | None = request.META.get(ENVIRON_SERVER)
    if server is None:
        return {"carrier": "a server without websockets"}
    return {"carrier": server.backend.versions() or server.backend.name}
