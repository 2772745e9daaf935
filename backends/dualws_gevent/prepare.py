"""Make the process cooperative, once and first of all."""

from __future__ import annotations

import gevent.monkey


def prepare() -> None:
    if not gevent.monkey.is_module_patched("threading"):
        gevent.monkey.patch_all()
