"""Fixtures of the tests behind a proxy.

===========  ===================================================================================
``proxied``  the class of a proxy; a test that takes it runs once with each
``site``     two servers on ``backend`` behind ``proxied``, kept for the tests of one file
``start_site``  starts such a site for one test, with options and changes
===========  ===================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from production.proxies.sites import Site, each
from support.proxies import PROXIES, Proxy


@pytest.fixture(scope="module", params=each(PROXIES))
def proxied(request: pytest.FixtureRequest) -> type[Proxy]:
    """A proxy."""
    kind: type[Proxy] = request.param
    return kind


@pytest.fixture(scope="module")
def kept_site(
    backend: str, proxied: type[Proxy], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Two servers behind the proxy."""
    folder = tmp_path_factory.mktemp(f"{proxied.program}-{backend}")
    site = Site(proxied, backend, folder)
    yield site
    site.stop()


@pytest.fixture
def site(kept_site: Site) -> Iterator[Site]:
    """The same, checked for tracebacks after the test."""
    yield kept_site
    kept_site.check()


@pytest.fixture
def start_site(backend: str, proxied: type[Proxy], tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """``start_site(options, changes)``: a site for this test only."""
    sites: list[Site] = []

    def start(*options: str, **more: Any) -> Site:
        folder = tmp_path / f"site{len(sites)}"
        folder.mkdir()
        sites.append(Site(proxied, backend, folder, options, **more))
        return sites[-1]

    yield start
    for site in sites:
        site.stop()
