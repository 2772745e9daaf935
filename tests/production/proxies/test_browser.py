"""Chromium on a site behind each proxy: pages over HTTP/2, websockets as the proxy takes them."""

from __future__ import annotations

import json

from production.proxies.sites import Site
from support.machine import find, needs
from support.node import run_script
from support.proxies import HOST
from support.timing import TIMEOUT

pytestmark = needs("chromium", "node", "npm")


def test_a_page_and_its_websocket(site: Site) -> None:
    environ = {"CHROMIUM": find("chromium") or "", "BROWSER_TIMEOUT": str(round(TIMEOUT * 1000))}
    seen = json.loads(run_script("through-proxy.mjs", site.origin, HOST, env=environ))
    assert seen == {
        "page": "h2",
        "subprotocol": "chat.v1",
        "message": "from a page",
        "code": 3003,
        "reason": "seen",
        "wasClean": True,
    }
    assert site.noted("browser") == [[3003, "seen"]]
