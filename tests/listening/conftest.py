"""The application that the servers of these tests serve."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.certificates import Authority
from support.sites import make_site


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with the application ``site_app``."""
    return make_site(tmp_path)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Issues the certificates of these tests."""
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def certificate(authority: Authority) -> tuple[Path, Path]:
    """A server's certificate for this machine, and its key."""
    return authority.issue("server", "/CN=server", "DNS:localhost", "IP:127.0.0.1")
