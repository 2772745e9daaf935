"""The benchmark's site in a server that counts what its code calls: WSGI, ``/counts/`` tells.

Law: *counts, never times*: how often Python code and C functions are called for a message is the
same on every machine and under any load. A system call is counted as the call of the function
that makes it. The profile function is in every thread, and on gevent in the hub too, from where
each connection's greenlet has it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable
from types import FrameType
from typing import Any

from dualws import hot
from dualws.bench.contenders import APPS
from dualws.contract import Environ, StartResponse

sys.path.insert(0, str(APPS))
os.environ["DJANGO_SETTINGS_MODULE"] = "dualws_site.settings"
os.environ["BENCHMARK_FOLDER"] = tempfile.gettempdir()

from dualws_site.wsgi import application as site

if hot.COMPILED:
    from dualws.hot import _compiled

#: C functions that are system calls, by their names: of sockets, of threads that wait for
#: their own, and of uvloop's transports. Loops in C ask the system without being seen.
SYSTEM_CALLS = {"poll", "recv", "recv_into", "send", "sendmsg", "write", "writelines"}
counts: Counter[str] = Counter()


def note(frame: FrameType, event: str, argument: Any) -> None:
    """Count one call."""
    if event == "call":
        counts["calls"] += 1
    elif event == "c_call":
        counts["calls"] += 1
        if argument.__name__ in SYSTEM_CALLS:
            counts["system calls"] += 1


threading.setprofile(note)
sys.setprofile(note)
if "gevent" in sys.modules:
    import gevent

    gevent.get_hub().loop.run_callback(sys.setprofile, note)


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/counts/":
        compiled = _compiled.system_calls() if hot.COMPILED else 0
        told = {**counts, "system calls": counts["system calls"] + compiled}
        body = json.dumps(told).encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]
    return site(environ, start_response)
