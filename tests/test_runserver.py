"""Websocket views on a WSGI server that is not ours: Django's runserver.

Law: such a server cannot carry a websocket, and may assert that no header is of one hop
(PEP 3333); the project's pages work on it, and who asks for a websocket is told what is wrong.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import pytest

from support.program import Program
from support.superserver import read
from support.superserver import site as site
from support.timing import TIMEOUT

HANDSHAKE = {
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
HINT = "this server has no websockets: use manage.py superserver or dualws serve"


def test_it_says_that_it_has_no_websockets(site: Path) -> None:
    words = ["manage.py", "runserver", "--noreload", "127.0.0.1:0"]
    views = site / "mysite" / "views.py"
    own = 'request.META["wsgi.server"].backend.name'
    views.write_text(views.read_text().replace(own, '"a page"'))
    with Program(site, words, env={"PYTHONUNBUFFERED": "1"}) as program:
        url = program.url()
        assert read(url) == "a page"
        for headers in ({}, HANDSHAKE):
            request = urllib.request.Request(f"{url}/ws/", headers=headers)
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, timeout=TIMEOUT)
            with refused.value as answer:
                assert answer.status == 426
                assert answer.headers["Sec-WebSocket-Version"] == "13, 8, 7"
                assert "Upgrade" not in answer.headers
                assert HINT in answer.read().decode()
        assert program.stderr.wait_for(HINT)
        program.stop()
        assert program.text().count(HINT) == 1
        assert "Traceback" not in program.text()
