"""Silent websockets behind each proxy: dualws's pings keep them, and without pings they are cut."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from production.proxies.sites import Site, each
from support.crowd import ask, open_socket
from support.frames import PING, PONG, build, read_frame
from support.proxies import PROXIES, SHORT, Proxy

#: Caddy and Traefik cut nothing by default.
CUTTING = [kind for kind in PROXIES if kind.short_idle]
Start = Callable[..., Site]


def test_pings_outlast_the_proxys_patience(start_site: Start, proxied: type[Proxy]) -> None:
    """Idle for twice as long as the proxy waits, with a ping four times in that time."""
    interval = SHORT / 4
    site = start_site("--ping-interval", f"{interval:g}", changes=proxied.short_idle)
    with open_socket(site, "/ws/echo/") as client:
        for _ in range(8):
            frame = read_frame(client)
            assert frame.opcode == PING
            client.send(build(PONG, frame.payload))
        assert ask(client, b"still here") == "still here"


@pytest.mark.parametrize("proxied", each(CUTTING), indirect=True)
def test_without_pings_a_silent_websocket_is_cut(start_site: Start, proxied: type[Proxy]) -> None:
    """What the test above would be worth otherwise."""
    site = start_site("--ping-interval", "0", changes=proxied.short_idle)
    with open_socket(site, "/ws/echo/") as client:
        assert ask(client, b"here") == "here"
        client.assert_closed()
