"""The seconds that the units of systemd leave for a server's end suffice by its own rules."""

from __future__ import annotations

import re

from dualws.contract import ServerConfig
from dualws.serving.workers import Workers
from support.proxies import DEPLOY

DOCS = DEPLOY.parent / "docs" / "deployment" / "systemd.md"


def patience(unit: str) -> int:
    """Seconds after SIGTERM at which systemd kills what is left."""
    text = (DEPLOY / "systemd" / unit).read_text()
    (seconds,) = re.findall(r"(?m)^TimeoutStopSec=(\d+)s$", text)
    return int(seconds)


def drain_of_workers() -> int:
    """Seconds that a worker gets by default to come to its end."""
    seconds: int = Workers("mysite.wsgi", {}, ServerConfig(), False, None).cfg.graceful_timeout
    return seconds


def test_a_stop_behind_a_reload() -> None:
    """The arbiter waits for the old workers of the reload, then for the new ones."""
    drain = drain_of_workers()
    config = ServerConfig()
    assert drain == config.drain_window + config.close_timeout + 5
    assert patience("dualws.service") > 2 * drain
    said = " ".join(DOCS.read_text().split())
    assert f"With workers it is {patience('dualws.service')} s: a drain takes {drain} s" in said
    unit = (DEPLOY / "systemd" / "dualws.service").read_text().replace("\n# ", " ")
    window = f"DUALWS_DRAIN_WINDOW ({config.drain_window:g} s), {drain} s at most"
    assert window in unit


def test_a_process_alone() -> None:
    config = ServerConfig()
    assert patience("dualws@.service") > config.drain_window + config.close_timeout
